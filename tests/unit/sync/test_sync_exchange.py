"""What one end of a session says, given what it hears: frame by frame."""

from __future__ import annotations

import random

import pytest

from kedge.sync import wire
from kedge.sync.exchange import Exchange
from kedge.sync.record import Incoming, Outgoing
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch

BOOT, OWNER = Epoch(1, 5), Epoch(2, 1)


def parent_end() -> Exchange:
    """A parent that configures two entries, in two versions."""
    out = Outgoing(OWNER)
    out.write({"a": b"1"})
    out.write({"b": b"2"})
    return Exchange("n1", BOOT, out, Incoming(), is_parent=True, chance=random.Random(1))


def held(version: int, epoch: Epoch | None = OWNER, **more: object) -> pb.Frame:
    frame = pb.Frame()
    part = frame.held.add(version=version, **more)
    if epoch is not None:
        wire.fill_epoch(part.epoch, epoch)
    return frame


def read(end: Exchange, frame: pb.Frame, counter: int = 0, current: bool = True, now: float = 0.0):
    return end.read(frame, counter=counter, current=current, now=now)


def sent(end: Exchange, now: float = 0.0) -> list[tuple[int, int, list[str]]]:
    """The records in what it sends: base, version, names."""
    records = []
    for frame in end.write(now):
        if frame.HasField("fragment"):
            assert frame.fragment.count == 1
            for record in pb.Update.FromString(frame.fragment.part).records:
                records.append((record.base, record.version, [e.name for e in record.entries]))
    return records


def test_nothing_is_sent_before_the_peer_says_what_it_holds():
    end = parent_end()
    assert end.due_at(0.0) is None
    assert end.write(0.0) == []
    assert not end.in_step


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (held(0, None), [(0, 2, ["a", "b"])]),
        (held(1), [(1, 2, ["b"])]),
        (held(2), []),
        (held(2, doubtful=True), [(0, 2, ["a", "b"])]),
        (held(1, doubtful=True), [(0, 2, ["a", "b"])]),
        (held(9, Epoch(1, 9)), [(0, 2, ["a", "b"])]),  # of an owner before us
        (held(9), [(0, 10, ["a", "b"])]),  # of our own predecessor: go on after it
        (held(1, Epoch(2, 2)), []),  # of an owner after us
        (held(2**64 - 1), []),  # beyond belief
        (held(0, None, node="n2"), []),  # of somebody else
        (held(0, None, node="n1", view=pb.VIEW_CONFIGURED), [(0, 2, ["a", "b"])]),
        (held(0, None, view=pb.VIEW_DISCOVERED), []),  # not what this end writes
    ],
)
def test_what_the_peer_holds_decides_what_is_sent(frame: pb.Frame, expected: list[object]):
    end = parent_end()
    read(end, frame)
    assert sent(end) == expected
    assert sent(end) == []  # once, until the time-out


def test_an_owner_that_was_overtaken_is_told():
    end = parent_end()
    assert read(end, held(1, Epoch(2, 2))).outranked
    assert not read(parent_end(), held(9)).outranked


def test_an_acknowledgement_is_told_once():
    end = parent_end()
    assert read(end, held(1), 1).acked is None
    assert read(end, held(2), 2).acked == 2
    assert read(end, held(2), 3).acked is None
    assert end.in_step
    end.outgoing.write({"a": b"3"})
    assert not end.in_step


def test_a_frame_that_was_overtaken_does_not_take_an_acknowledgement_back():
    end = parent_end()
    read(end, held(2), counter=7)
    read(end, held(0, None), counter=6)
    assert end.in_step
    assert sent(end) == []


def test_an_acknowledgement_in_an_earlier_session_does_not_count():
    end = parent_end()
    read(end, held(2), current=False)
    assert not end.in_step
    assert not end.is_answered


def update(version: int, base: int = 0, epoch: Epoch = BOOT, **more: str) -> pb.Frame:
    blob = pb.Update()
    record = blob.records.add(base=base, version=version, **more)
    wire.fill_epoch(record.epoch, epoch)
    record.entries.add(name="boot.stage", version=version, value=b"x")
    frame = pb.Frame()
    frame.fragment.CopyFrom(
        pb.Fragment(transfer=version, index=0, count=1, part=blob.SerializeToString())
    )
    return frame


def test_a_record_is_applied_acknowledged_and_told():
    end = parent_end()
    news = read(end, update(3))
    assert (news.applied, news.full, news.changes) == (True, True, {"boot.stage": b"x"})
    (frame,) = end.write(0.0)
    assert (frame.held[0].version, frame.fragment_ack.next) == (3, 1)
    assert not frame.held[0].HasField("epoch")  # the session's


@pytest.mark.parametrize(
    "frame",
    [
        update(3, epoch=Epoch(1, 4)),
        update(3, epoch=Epoch(1, 6)),
        update(3, node="n2"),
        update(3, view="VIEW_CONFIGURED"),
        update(3, base=2),
    ],
)
def test_a_record_of_another_boot_node_or_view_or_without_its_base_is_not(frame: pb.Frame):
    end = parent_end()
    assert not read(end, frame).applied
    (answer,) = end.write(0.0)
    assert answer.held[0].version == 0
    assert end.incoming.values() == {}


def test_another_hash_at_the_same_version_is_said_until_everything_came():
    end = parent_end()
    read(end, update(3))
    end.write(0.0)
    frame = pb.Frame()
    frame.status.add(version=3, hash=bytes(16))
    read(end, frame)
    (answer,) = end.write(0.0)
    assert answer.held[0].doubtful
    read(end, frame)
    assert end.write(0.0) == []  # said once, then with every heartbeat
    read(end, pb.Frame(ask=True))
    (answer,) = end.write(0.0)
    assert answer.held[0].doubtful
    assert answer.status[0].hash == end.outgoing.hash
    again = update(3)
    again.fragment.transfer = 4
    read(end, again)
    (answer,) = end.write(0.0)
    assert not answer.held[0].doubtful


def test_what_arrives_but_is_never_applied_is_sent_ever_less_often():
    end, now, count = parent_end(), 0.0, 0
    read(end, held(0, None))
    for counter in range(1, 2000):
        for frame in end.write(now):
            if frame.HasField("fragment"):
                count += 1
                answer = held(0, None)
                answer.fragment_ack.CopyFrom(
                    pb.FragmentAck(transfer=frame.fragment.transfer, next=1)
                )
                read(end, answer, counter, now=now)
        now += 0.1
    assert 20 <= count <= 40  # in 200 s
