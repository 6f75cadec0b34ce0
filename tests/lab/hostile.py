"""What an attacker on the provision network can do; run inside a lab's network namespace.

hostile.py tap               every IPv4 packet on the network, one JSON line each, until it is ended
hostile.py inject            sends the UDP datagrams (JSON lines) that come on stdin, from any address
hostile.py get FROM PATH     asks the boot server for PATH out of the address FROM
hostile.py join FROM NODE EPOCH TOKEN    tries to join as NODE for 4 s; says what comes of it
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import select
import socket
import struct
import sys
import time

from kedge.lab.network import BRIDGE_MACS
from kedge.sync.child import Child
from kedge.sync.events import Refused, SessionUp
from kedge.sync.wire import Epoch

HEAD = "10.77.0.1"
SYNC = (HEAD, 8471)
BRIDGE, PORT_OUTSIDE = "prov", "prov-up-peer"  # what goes out of the second comes in at the first
OWN_MAC = "02:00:00:00:66:66"
ETHERTYPE_IPV4 = 0x0800
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
JOIN_S = 4.0


def tap() -> None:
    """Print what is seen of IPv4: addresses, ports and the payload."""
    listening = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    listening.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    listening.bind((BRIDGE, ETH_P_ALL))
    while True:
        frame = listening.recv(65536)
        if frame[12:14] != b"\x08\x00" or frame[23] not in (6, 17):
            continue
        ip = frame[14:]
        header = (ip[0] & 15) * 4
        body = ip[header : int.from_bytes(ip[2:4], "big")]
        ports = struct.unpack_from("!HH", body)
        is_udp = ip[9] == 17
        payload = body[8:] if is_udp else body[(body[12] >> 4) * 4 :]
        if not payload or (8080 in ports and len(payload) > 1000 and b"#!ipxe" not in payload):
            continue  # not the megabytes of images
        print(
            json.dumps(
                {
                    "udp": is_udp,
                    "from": socket.inet_ntoa(ip[12:16]),
                    "to": socket.inet_ntoa(ip[16:20]),
                    "ports": ports,
                    "payload": payload.hex(),
                }
            ),
            flush=True,
        )


def inject() -> None:
    """Send datagrams to the head's sync port as if they came from the network."""
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((PORT_OUTSIDE, ETHERTYPE_IPV4))
    macs = bytes.fromhex((BRIDGE_MACS[BRIDGE] + OWN_MAC).replace(":", ""))
    for line in sys.stdin:
        wanted = json.loads(line)
        payload = bytes.fromhex(wanted["payload"])
        udp = struct.pack("!HHHH", wanted["port"], SYNC[1], 8 + len(payload), 0) + payload
        addresses = socket.inet_aton(wanted["from"]) + socket.inet_aton(HEAD)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses
        ip = ip[:10] + _checksum(ip).to_bytes(2, "big") + ip[12:]
        out.send(macs + struct.pack("!H", ETHERTYPE_IPV4) + ip + udp)
        time.sleep(0.002)


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def get(source: str, path: str) -> None:
    """Print status and body (its beginning) as JSON."""
    connection = http.client.HTTPConnection(HEAD, 8080, timeout=10, source_address=(source, 0))
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read(4096).decode("latin-1")
    connection.close()
    print(json.dumps({"status": answer.status, "body": body}))


def join(source: str, node: str, epoch: str, token: str) -> None:
    """Speak the protocol as an agent would; print whether it came in and what it was refused for."""
    secret = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    child = Child(
        node, Epoch.parse(epoch), [SYNC], random_bytes=random.randbytes, chance=random, token=secret
    )
    child.set_discovered("boot.stage", b'"layer0"')
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.bind((source, 0))
    deadline = time.monotonic() + JOIN_S
    joined, refused = False, set[str]()
    while (now := time.monotonic()) < deadline and not joined:
        for datagram, address in child.datagrams_to_send(now):
            out.sendto(datagram, address)
        if select.select([out], [], [], 0.1)[0]:
            datagram, address = out.recvfrom(65536)
            child.receive_datagram(datagram, address, time.monotonic())
        while (event := child.next_event()) is not None:
            joined |= isinstance(event, SessionUp)
            if isinstance(event, Refused):
                refused.add(event.reason)
    for datagram, address in child.datagrams_to_send(time.monotonic()):
        out.sendto(datagram, address)
    print(json.dumps({"joined": joined, "refused": sorted(refused)}))


if __name__ == "__main__":
    {"tap": tap, "inject": inject, "get": get, "join": join}[sys.argv[1]](*sys.argv[2:])
