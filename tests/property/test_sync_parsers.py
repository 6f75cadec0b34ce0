"""Parsers of what comes from the network: any bytes whatever, and the merge of records."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.sync import wire
from kedge.sync.difference import read
from kedge.sync.record import Incoming, Outgoing
from kedge.sync.transfer import Receiving, Sending
from kedge.sync.wire import Epoch, Kind
from unit.sync.sync_world import TOKEN, World, said_by

E1 = Epoch(1, 1)
VALUES = st.one_of(st.none(), st.binary(max_size=8))
CHANGES = st.dictionaries(st.sampled_from("abcde"), VALUES, min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=1300), kind=st.integers(0, 7), whole=st.booleans())
def test_any_bytes_at_either_end(body: bytes, kind: int, whole: bool):
    world = World()
    parent = world.parent()
    parent.admit("n1", E1, TOKEN, 100.0)
    child = world.child("n1")
    hello = child.datagrams_to_send(0.0)[0][0]
    datagram = body if whole else b"\x4b\x01" + bytes([kind, 0]) + hello[4:8] + bytes(8) + body
    for end in (parent, child):
        end.receive_datagram(datagram, "evil", 0.0)
        end.datagrams_to_send(0.0)
        end.next_timeout()
    assert child.parent is None
    assert not parent.is_attached("n1")


@given(body=st.binary(max_size=400))
def test_parsers_return_or_return_none(body: bytes):
    for parse in (
        wire.parse_header,
        wire.parse_hello,
        wire.parse_welcome,
        wire.parse_refusal,
        wire.parse_frame,
        wire.parse_update,
        wire.parse_saved,
    ):
        parse(body)
    update = wire.parse_update(body)
    for record in update.records if update is not None else ():
        said = read(record, E1)
        if said is not None:
            Incoming().apply(said)


@given(
    kind=st.sampled_from(Kind), key_id=st.integers(0, 2**32 - 1), counter=st.integers(0, 2**64 - 1)
)
def test_headers_come_back_as_they_went(kind: Kind, key_id: int, counter: int):
    packed = wire.pack_header(kind, key_id, counter)
    assert wire.parse_header(packed) == (1, kind, key_id, counter)


@given(
    writes=st.lists(CHANGES, min_size=1, max_size=12),
    picks=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30),
)
def test_differences_in_any_order_lead_to_some_version_and_all_of_them_to_the_last(
    writes: list[dict[str, bytes | None]], picks: list[tuple[int, int]]
):
    out, states, sent = Outgoing(E1), {0: {}}, {}
    for change in writes:
        out.write(change)
        states[out.version] = {n: e.value for n, e in out.entries.items() if e.value is not None}
        for base in range(out.version):
            sent[base, out.version] = out.difference(base)
    held = Incoming()
    for base, version in picks:
        if (base, version) in sent:
            before = held.stamp
            held.apply(sent[base, version])
            assert held.stamp >= before
            assert held.values() == states[held.stamp.version]
    if out.version:
        held.apply(out.difference(0))
        assert held.values() == states[out.version]
        assert held.hash == out.hash


@settings(deadline=None)
@given(size=st.integers(0, 60_000), seed=st.integers(0, 2**32), loss=st.floats(0, 0.7))
def test_transfers_arrive_whole_whatever_is_lost_or_swapped(size: int, seed: int, loss: float):
    rng = random.Random(seed)
    sender, receiver, now, whole = Sending(1, rng.randbytes(size), 1, rng), Receiving(), 0.0, None
    for _ in range(5000):
        parts = sender.parts(now) * 2
        rng.shuffle(parts)
        for part in parts:
            if rng.random() >= loss:
                blob = receiver.accept(part)
                assert whole is None or blob is None
                whole = blob if blob is not None else whole
        if rng.random() >= loss:
            sender.acknowledged(said_by(receiver), now)
        if sender.done:
            break
        now = max(now, sender.due_at(now))
    assert whole == sender.blob
