"""The running process: the one owner of an event loop, of sockets, timers and supervision."""
