"""Answer IPv6 router solicitations with *no router here*: else iPXE waits 16 s for one.

RFC 4861, sections 4.1 and 4.2. The answer has a router lifetime of 0, so it makes nobody a router
and disturbs no real one.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from kedge.lib.errors import KedgeError
from kedge.modules.boot.place import BootSettings, find_place
from kedge.modules.port import Io

SOLICITATION, ADVERTISEMENT = 133, 134
HOP_LIMIT = 255
ICMP6_FILTER = 1
ALL_ROUTERS = "ff02::2"
ANSWER = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, 0, 0, 0)


async def serve(io: Io, settings: BootSettings) -> None:
    """Answer for as long as it is not cancelled; raises `KedgeError` when it cannot."""
    place = find_place(io.site, settings)
    loop = asyncio.get_running_loop()
    try:
        listening = _open(place.interface)
    except OSError as error:
        raise KedgeError(
            "boot.router_advertisements",
            "IPv6 router solicitations cannot be answered",
            where=place.interface,
            why=error.strerror or str(error),
            next_step="Nodes boot all the same, 16 s later; or set boot.router_advertisements: false",
        ) from error
    try:
        loop.add_reader(listening, _answer, listening)
        await asyncio.get_running_loop().create_future()
    finally:
        loop.remove_reader(listening)
        listening.close()


def _open(interface: str) -> socket.socket:
    listening = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    try:
        index = socket.if_nametoindex(interface)
        only = bytearray(b"\xff" * 32)
        only[SOLICITATION // 8] &= ~(1 << SOLICITATION % 8) & 0xFF
        listening.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(only))
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        for option in (socket.IPV6_UNICAST_HOPS, socket.IPV6_MULTICAST_HOPS):
            listening.setsockopt(socket.IPPROTO_IPV6, option, HOP_LIMIT)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _answer(listening: socket.socket) -> None:
    """Answer one solicitation, to whoever sent it (to all nodes where it had no address yet)."""
    try:
        packet, sender = listening.recvfrom(1500)
        if packet[:1] != bytes([SOLICITATION]):
            return
        address = "ff02::1" if sender[0] == "::" else sender[0]
        listening.sendto(ANSWER, (address, 0, 0, sender[3]))
    except OSError:
        return  # the next one asks again
