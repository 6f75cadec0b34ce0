"""A DHCP client made by hand, for every kind of firmware (RFC 2131, 4578, 3004; UEFI 2.10, 24.7)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from dataclasses import dataclass, field

SO_RCVBUFFORCE = 33
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
COOKIE = b"\x63\x82\x53\x63"
ETHERNET_IPV4 = 0x0800
PXE = b"PXEClient:Arch:%05d:UNDI:003016"
HTTP = b"HTTPClient:Arch:%05d:UNDI:003001"


@dataclass(frozen=True)
class Kind:
    """A kind of client: its architecture (option 93), vendor class (60), user class (77)."""

    name: str
    arch: int
    vendor: bytes = PXE
    user_class: bytes = b""

    def options(self) -> dict[int, bytes]:
        given = {60: self.vendor % self.arch, 93: struct.pack("!H", self.arch)}
        if self.user_class:
            given |= {77: self.user_class, 175: bytes.fromhex("b105018086100e")}
        return given


BIOS = Kind("bios", 0)
UEFI = Kind("uefi", 7)
UEFI_BC = Kind("uefi-9", 9)
ARM64 = Kind("arm64", 11)
UEFI_HTTP = Kind("uefi-http", 16, HTTP)
ARM64_HTTP = Kind("arm64-http", 19, HTTP)
IPXE_BIOS = Kind("ipxe-bios", 0, PXE, b"iPXE")
IPXE_UEFI = Kind("ipxe-uefi", 7, PXE, b"iPXE")
IPXE_UEFI_HTTP = Kind("ipxe-uefi-http", 16, HTTP, b"iPXE")


@dataclass
class Answer:
    """An offer or acknowledgement."""

    address: str
    next_server: str
    file: str
    options: dict[int, bytes] = field(default_factory=dict)

    @property
    def boot_file(self) -> str:
        return self.options[67].decode().rstrip("\0") if 67 in self.options else self.file


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(mac: str, message: int, xid: int, options: dict[int, bytes]) -> bytes:
    hardware = bytes.fromhex(mac.replace(":", ""))
    bootp = struct.pack("!BBBBIHH16x16s64x128x", 1, 1, 6, 0, xid, 0, 0x8000, hardware)
    asked = bytes([1, 3, 6, 12, 15, 42, 43, 60, 66, 67, 175])
    body = b"".join(
        bytes([code, len(value)]) + value
        for code, value in {53: bytes([message]), 55: asked, **options}.items()
    )
    payload = bootp + COOKIE + body + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4
    )
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\xff" * 6 + hardware + struct.pack("!H", ETHERNET_IPV4) + head + udp


def parse(packet: bytes) -> tuple[int, int, str, Answer] | None:
    """(message, xid, MAC, answer) of a DHCP server's packet, or None."""
    if len(packet) < 14 + 28 + 240 or packet[23] != 17 or packet[34:36] != b"\0\x43":
        return None
    bootp = packet[42:]
    options: dict[int, bytes] = {}
    rest = bootp[240:]
    while rest and rest[0] != 255:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        options[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    answer = Answer(
        socket.inet_ntoa(bootp[16:20]),
        socket.inet_ntoa(bootp[20:24]),
        bootp[108:236].split(b"\0")[0].decode(),
        options,
    )
    message = options.get(53, b"\0")[0]
    return message, struct.unpack("!I", bootp[4:8])[0], bootp[28:34].hex(":"), answer


class Client:
    """Sends and receives on one interface, for any number of MACs."""

    def __init__(self, interface: str = "c0") -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_IPV4))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 * 2**20)
        self._socket.bind((interface, 0))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    async def ask(
        self, mac: str, kind: Kind, *, timeout_s: float = 3.0, message: int = DISCOVER,
        extra: dict[int, bytes] | None = None,
    ) -> Answer | None:  # fmt: skip
        """The server's answer, or None when there is none in time. Asks again every second."""
        loop = asyncio.get_running_loop()
        xid = int.from_bytes(os.urandom(4), "big")
        ends = loop.time() + timeout_s
        while loop.time() < ends:
            await loop.sock_sendall(
                self._socket, frame(mac, message, xid, kind.options() | (extra or {}))
            )
            found = await self._await(xid, min(1.0, ends - loop.time()))
            if found is not None:
                return found
        return None

    async def _await(self, xid: int, wait_s: float) -> Answer | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    parsed = parse(await loop.sock_recv(self._socket, 4096))
                    if parsed is not None and parsed[1] == xid:
                        return parsed[3]
        except TimeoutError:
            return None

    async def boot(self, mac: str, kind: Kind) -> Answer | None:
        """Discover, then request what was offered; the acknowledgement."""
        offer = await self.ask(mac, kind)
        if offer is None:
            return None
        chosen = {50: socket.inet_aton(offer.address), 54: offer.options[54]}
        return await self.ask(mac, kind, message=REQUEST, extra=chosen)
