"""A peer with good keys and bad manners: frames that were bent, then sealed as they should be.

The bytes are bent by structure (fields lost, doubled, from another frame, numbers at their bounds), since
bent at random they are mostly no messages. Neither end may raise, grow, or take what is not consistent.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.sync import wire
from kedge.sync.v1 import sync_pb2 as pb
from unit.sync.sync_world import FIRST, TOKEN, World

NUMBERS = (0, 1, 2, 3, 63, 64, 65536, 70000, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = ("", "n1", "n2", "x" * 300, "\n")


def bent(message: Any, rng: random.Random, depth: int = 0) -> None:
    """Change some of a message's fields."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.6:
            continue
        if field.message_type is not None and depth < 4:
            inner = getattr(message, field.name)
            if hasattr(inner, "add"):  # it is repeated
                for _ in range(rng.choice([0, 1, 1, 2, 40])):
                    bent(inner.add(), rng, depth + 1)
            else:
                bent(inner, rng, depth + 1)
                inner.SetInParent()
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, rng.choice(TEXTS))
        elif field.type == field.TYPE_BYTES:
            setattr(message, field.name, rng.randbytes(rng.choice([0, 1, 16, 100])))
        elif field.type == field.TYPE_BOOL:
            setattr(message, field.name, rng.random() < 0.5)
        elif field.type == field.TYPE_ENUM:
            setattr(message, field.name, rng.choice([0, 1, 2, 3, 77]))
        else:
            number = rng.choice(NUMBERS)
            small = field.type in (field.TYPE_UINT32, field.TYPE_FIXED32)
            setattr(message, field.name, number % 2**32 if small else number)


def update(rng: random.Random) -> bytes:
    """What a fragment carries."""
    message = pb.Update()
    for _ in range(rng.randrange(3)):
        record = message.records.add(
            version=rng.choice([1, 2, 5, 2**40]), base=rng.choice([0, 1, 4])
        )
        for _ in range(rng.randrange(4)):
            entry = record.entries.add(name=rng.choice("abc"), version=rng.choice([1, 2, 3, 5]))
            if rng.random() < 0.7:
                entry.value = rng.randbytes(3)
        if rng.random() < 0.3:
            bent(record, rng, 2)
    return message.SerializeToString()


def frame(rng: random.Random) -> bytes:
    """The inside of a datagram."""
    message = pb.Frame()
    if rng.random() < 0.5:
        bent(message, rng)
    if rng.random() < 0.7:
        part = message.fragment
        part.transfer, part.index, part.count = (
            rng.randrange(4),
            rng.randrange(3),
            rng.randrange(1, 3),
        )
        part.part = update(rng)
    plain = bytearray(message.SerializeToString())
    if rng.random() < 0.2 and plain:
        plain[rng.randrange(len(plain))] ^= 1 << rng.randrange(8)
    return bytes(plain)[: wire.DATAGRAM_MAX_BYTES - wire.HEADER_BYTES - wire.SEAL_BYTES]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_bent_frames_under_good_keys(seed: int):
    rng = random.Random(seed)
    world = World(seed)
    parent = world.parent(heartbeat_s=1.0)
    parent.admit("n1", FIRST, TOKEN, 1e9)
    child = world.child("n1")
    child.set_discovered("a", b"1")
    parent.set_configured("n1", {"c": b"1"})
    world.run(3.0)
    assert child.in_step
    for _ in range(30):
        session = child._sessions.live[0] if child._sessions.live else None
        link = parent._links.get(parent._nodes["n1"].current)
        if session is None or link is None:  # a farewell was among them
            break
        if rng.random() < 0.5:
            parent.receive([(session.seal(frame(rng)), "n1")], world.now)
        else:
            child.receive_datagram(link.session.seal(frame(rng)), "head", world.now)
        world.run(rng.choice([0.0, 0.01, 1.0]), most=3000)
        held = parent._nodes["n1"].incoming
        assert all(entry.version <= held.stamp.version for entry in held.entries.values())
        assert len(held.entries) < 1000 and len(parent._events) < 100
    assert parent._nodes.keys() == {"n1"}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_both_ends_recover_from_bent_frames(seed: int):
    """A new boot after them, and everything is as if they had never been."""
    rng = random.Random(seed)
    world = World(seed)
    parent = world.parent(heartbeat_s=1.0)
    parent.admit("n1", FIRST, TOKEN, 1e9)
    child = world.child("n1")
    world.run(1.0)
    for _ in range(20):
        if child._sessions.live:
            parent.receive([(child._sessions.live[0].seal(frame(rng)), "n1")], world.now)
    again = wire.Epoch(1, 2)
    parent.admit("n1", again, TOKEN[::-1], 1e9)
    parent.set_configured("n1", {"c": b"2"})
    child = world.child("n1", again, token=TOKEN[::-1])
    child.discover({"a": b"2", "b": b"3"})
    world.run(5.0)
    assert parent.discovered("n1") == child.discovered
    assert child.configured == {"c": b"2"}
