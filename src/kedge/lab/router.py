"""Answers IPv6 router solicitations on the provision bridge, so that iPXE need not wait for one.

iPXE tries IPv6 beside DHCP and waits 16 s for a router that does not exist. A router advertisement
(RFC 4861, section 4.2) with a lifetime of 0 says: there is none, go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

SOLICITATION, ADVERTISEMENT = 133, 134
HOP_LIMIT = 255
ALL_ROUTERS, ALL_NODES = "ff02::2", "ff02::1"
# Type, code, checksum (by the kernel), hop limit, flags, router lifetime, reachable, retransmit.
MESSAGE = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, 0, 0, 0)


class Router:
    """The answerer; it lives on the event loop and holds one raw socket."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Begin to answer."""
        index = socket.if_nametoindex(self._interface)
        raw = socket.socket(
            socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6
        )
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        self._socket = raw
        self._index = index
        asyncio.get_running_loop().add_reader(raw, self._readable)

    def stop(self) -> None:
        """Answer no longer."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):
            message = self._socket.recv(2048)
            if message and message[0] == SOLICITATION:
                self._socket.sendto(MESSAGE, (ALL_NODES, 0, 0, self._index))
