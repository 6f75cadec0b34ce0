"""What no parent in Python can do without, and nothing else: receive and answer with the production's calls;
then also open and seal with a key for each child; then also parse a report and write its acknowledgement.

usage: sync_floor.py WHAT CHILDREN ANSWER_BYTES; prints its port on 127.0.0.1, ends when it is killed.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable
from itertools import cycle

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kedge.master.garbage import collect_seldom
from kedge.master.host import grow_receive_buffer
from kedge.master.many import Calls
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import SEAL_BYTES

WHATS = ("calls", "seals", "messages")
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

    return seals if what == "seals" else messages


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
