"""The state sync protocol, pure (sans-IO): peers, records, sessions and the wire codec.

Datagrams come in and go out as bytes; sockets, clocks and chance belong to the caller, so that
master, agent and simulator run the same code. ``kedge.sync.parent`` is the head's end,
``kedge.sync.child`` the agent's; a process imports the one that it is.
docs/reference/sync.md describes the protocol so that it can be written again from scratch.
"""
