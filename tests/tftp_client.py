"""A TFTP client made by hand (RFC 1350, 2347-2349), as firmware does it."""

from __future__ import annotations

import asyncio
import socket
import struct

READ, WRITE, DATA, ACKNOWLEDGE, ERROR, OPTIONS = 1, 2, 3, 4, 5, 6


class TftpError(Exception):
    """The server answered with an error packet."""


async def get(name: str, address: str = "10.77.0.1", *, opcode: int = READ) -> bytes:
    """The file; raises `TftpError` or `TimeoutError`."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.setblocking(False)
        request = b"\0".join([name.encode(), b"octet", b"blksize", b"1468", b"tsize", b"0", b""])
        await loop.sock_sendto(wire, struct.pack("!H", opcode) + request, (address, 69))
        received = b""
        while True:
            async with asyncio.timeout(3):
                packet, peer = await loop.sock_recvfrom(wire, 2048)
            code, block = struct.unpack("!HH", packet[:4])
            if code == ERROR:
                raise TftpError(packet[4:].decode(errors="replace"))
            if code == OPTIONS:
                block = 0
            else:
                received += packet[4:]
            await loop.sock_sendto(wire, struct.pack("!HH", ACKNOWLEDGE, block), peer)
            if code == DATA and len(packet) - 4 < 1468:
                return received
