"""The state sync protocol, pure (sans-IO): peers, records, sessions and the wire codec.

Datagrams come in and go out as bytes; sockets, clocks and chance belong to the caller, so that
master, agent and simulator run the same code.
"""
