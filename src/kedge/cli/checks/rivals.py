"""Other DHCP servers on the provision network: one DISCOVER goes out, and offers are listed.

Only on the given interface. No address is requested: a DISCOVER binds nobody (RFC 2131, 3.1).
"""

from __future__ import annotations

import fcntl
import secrets
import socket
import struct
import time
from dataclasses import dataclass

from kedge.cli.checks.finding import Finding, bad, good, note

LISTEN_S = 3.0
ETH_P_IP = 0x0800
SIOCGIFADDR = 0x8915
SIOCGIFHWADDR = 0x8927
BROADCAST = b"\xff" * 6
COOKIE = b"\x63\x82\x53\x63"
_BOOTP = struct.Struct("!4BIHH4s4s4s4s16s192s4s")


@dataclass(frozen=True, slots=True)
class Offer:
    """A server that offers an address."""

    server: str
    address: str


def check_rivals(interface: str) -> Finding:
    """Whether anybody but this machine answers DHCP on ``interface``."""
    try:
        own = own_address(interface)
        offers = discover(interface)
    except PermissionError:
        return note("dhcp rivals", "this user cannot look for them", "sudo kedge doctor")
    except OSError as error:
        return bad(
            "dhcp rivals", f"cannot look on {interface}: {error.strerror}",
            "Name the provision network's interface: kedge doctor --interface NAME (see: ip link)",
        )  # fmt: skip
    rivals = sorted({offer.server for offer in offers} - {own})
    if rivals:
        shown = ", ".join(rivals)
        return bad(
            "dhcp rivals", f"{shown} also answers DHCP on {interface}: nodes may boot from it",
            f"Stop the DHCP server at {shown}, or give nodes a network of their own",
        )  # fmt: skip
    return good("dhcp rivals", f"nobody else offers addresses on {interface}")


def discover(interface: str, listen_s: float = LISTEN_S) -> list[Offer]:
    """All offers that come within ``listen_s``; raises `OSError`."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)) as sock:
        sock.bind((interface, ETH_P_IP))
        mac = _ioctl(interface, SIOCGIFHWADDR)[18:24]
        transaction = secrets.randbits(32)
        packet = in_udp(discover_message(mac, transaction))
        sock.sendto(packet, (interface, ETH_P_IP, 0, 0, BROADCAST))
        offers: list[Offer] = []
        until = time.monotonic() + listen_s
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                packet = sock.recv(65_535)
            except TimeoutError:
                break
            offer = read_offer(packet, transaction)
            if offer is not None and offer not in offers:
                offers.append(offer)
    return offers


def discover_message(mac: bytes, transaction: int) -> bytes:
    """A DISCOVER that asks for the answer as a broadcast (RFC 2131, 4.1)."""
    head = _BOOTP.pack(
        1, 1, 6, 0, transaction, 0, 0x8000, b"", b"", b"", b"", mac, b"", COOKIE
    )  # fmt: skip
    return head + bytes((53, 1, 1, 55, 3, 1, 3, 54, 255))


def in_udp(message: bytes) -> bytes:
    """The message in UDP and IP, from no address to all."""
    udp = struct.pack("!4H", 68, 67, 8 + len(message), 0) + message
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4
    )
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~(total + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", check) + head[12:] + udp


def read_offer(packet: bytes, transaction: int) -> Offer | None:
    """The offer in an IP packet, if it is one that answers ``transaction``."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != 17:
        return None
    udp = packet[(packet[0] & 15) * 4 :]
    if len(udp) < 8 + _BOOTP.size or udp[2:4] != b"\0\x44":
        return None
    fields = _BOOTP.unpack_from(udp, 8)
    if fields[0] != 2 or fields[4] != transaction or fields[13] != COOKIE:
        return None
    options = _options(udp[8 + _BOOTP.size :])
    if options.get(53) != b"\x02":
        return None
    server = options.get(54, b"")
    named = server if len(server) == 4 else packet[12:16]
    return Offer(socket.inet_ntoa(named), socket.inet_ntoa(fields[8]))


def _options(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    place = 0
    while place < len(raw) and raw[place] != 255:
        if raw[place] == 0:
            place += 1
            continue
        if place + 1 >= len(raw):
            break
        length = raw[place + 1]
        found[raw[place]] = raw[place + 2 : place + 2 + length]
        place += 2 + length
    return found


def own_address(interface: str) -> str:
    """This machine's address on the interface (empty: it has none)."""
    try:
        return socket.inet_ntoa(_ioctl(interface, SIOCGIFADDR)[20:24])
    except OSError:
        return ""


def _ioctl(interface: str, request: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return fcntl.ioctl(sock, request, struct.pack("256s", interface.encode()[:15]))
