"""What no parent in Python can do without, and nothing else: receive and answer with the production's calls;
then also open and seal with a key for each child; then also take in a report, in one of two ways.

``messages`` parses it, looks at its fields and writes the acknowledgement, but remembers nothing. ``values``
takes all but the value for known: it keeps a record for each child, hashes it, and tells what has changed.

usage: sync_floor.py WHAT CHILDREN ANSWER_BYTES; prints its port on 127.0.0.1, ends when it is killed.
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
import sys
from collections import deque
from collections.abc import Callable
from itertools import cycle

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kedge.master.process.garbage import collect_seldom
from kedge.master.process.host import grow_receive_buffer
from kedge.master.transport.many import Calls
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import SEAL_BYTES

WHATS = ("calls", "seals", "messages", "values")
VALUE_BYTES, HASH_AT = 19, 6
HEADER, NONCE = bytes(16), bytes(12)


def report() -> bytes:
    """The inside of a datagram that reports one value."""
    record = pb.Record(
        base=100, version=101, epoch=pb.Epoch(term=1, counter=8000),
        entries=[pb.Entry(name="v3", version=101, value=bytes(19))],
    )  # fmt: skip
    part = pb.Update(records=[record]).SerializeToString()
    return pb.Frame(
        status=[pb.Status(version=101, hash=bytes(16))],
        held=[pb.Held(version=1, epoch=pb.Epoch(term=1))],
        fragment=pb.Fragment(transfer=101, count=1, part=part),
    ).SerializeToString()


def answer(what: str, children: int, answer_bytes: int) -> Callable[[], bytes]:
    """What makes the answer to one datagram."""
    made = bytes(answer_bytes)
    if what == "calls":
        return lambda: made
    said = report()
    reply = bytes(answer_bytes - len(HEADER) - SEAL_BYTES)
    ciphers = [(AESGCM(os.urandom(32)), AESGCM(os.urandom(32))) for _ in range(children)]
    turns = cycle([(a, a.encrypt(NONCE, said, HEADER), b) for a, b in ciphers])

    def seals() -> bytes:
        opener, sealed, sealer = next(turns)
        opener.decrypt(NONCE, sealed, HEADER)
        return HEADER + sealer.encrypt(NONCE, reply, HEADER)

    def messages() -> bytes:
        opener, sealed, sealer = next(turns)
        frame = pb.Frame.FromString(opener.decrypt(NONCE, sealed, HEADER))
        (record,) = pb.Update.FromString(frame.fragment.part).records
        (entry,) = record.entries
        (status,) = frame.status
        _ = entry.name, entry.version, entry.value, record.base, record.version, status.hash
        acked = pb.Frame()
        acked.held.add().version = record.version
        acked.fragment_ack.transfer = frame.fragment.transfer
        return HEADER + sealer.encrypt(NONCE, acked.SerializeToString(), HEADER)

    records = cycle([{f"v{name}": bytes(VALUE_BYTES) for name in range(8)} for _ in ciphers])
    begun = hashlib.blake2b(digest_size=16)
    told: deque[tuple[str, bytes]] = deque(maxlen=256)
    doubt = reply[1:] + b"?"
    head, tail = said[:HASH_AT], said[HASH_AT + 16 : -VALUE_BYTES]

    def values() -> bytes:
        opener, sealed, sealer = next(turns)
        plain = opener.decrypt(NONCE, sealed, HEADER)
        if not plain.startswith(head) or not plain.startswith(tail, HASH_AT + 16):
            raise SystemExit("sync_floor: not what was sealed")
        record = next(records)
        record["v3"] = plain[-VALUE_BYTES:]
        told.append(("v3", record["v3"]))
        made = begun.copy()
        made.update(b"".join(record.values()))
        agrees = made.digest() == plain[HASH_AT : HASH_AT + 16]
        return HEADER + sealer.encrypt(NONCE, reply if agrees else doubt, HEADER)

    return {"seals": seals, "messages": messages, "values": values}[what]


def main() -> None:
    """Serve until killed."""
    what, children, answer_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    collect_seldom()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    grow_receive_buffer(sock)
    calls, make = Calls(sock), answer(what, children, answer_bytes)
    print(sock.getsockname()[1], flush=True)
    while True:
        select.select([sock], [], [])
        answers = [(make(), address) for _, address in calls.receive()]
        while answers:
            del answers[: calls.send(answers)]


if __name__ == "__main__":
    main()
