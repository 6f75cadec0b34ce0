"""Transfers: cutting, windows, acknowledgements, retries, limits."""

from __future__ import annotations

import random

from kedge.sync import wire
from kedge.sync.transfer import RETRY_MAX_S, WINDOW_FIRST, Receiving, Sending
from kedge.sync.v1 import sync_pb2 as pb
from unit.sync.sync_world import said_by


def sending(size: int = 100 * wire.FRAGMENT_BYTES, number: int = 1) -> Sending:
    return Sending(number, random.Random(1).randbytes(size), 1, random.Random(2))


def test_a_large_update_arrives_whole_over_a_link_that_loses_a_third():
    sender, receiver, rng, now = sending(200_123), Receiving(), random.Random(3), 0.0
    whole = None
    for _ in range(1000):
        for part in sender.parts(now):
            if rng.random() > 0.33:
                whole = receiver.accept(part) or whole
        if rng.random() > 0.33:
            sender.acknowledged(said_by(receiver), now)
        if sender.done:
            break
        now = max(now + 0.001, sender.due_at(now))
    assert whole == sender.blob
    assert now < 60


def test_the_first_window_is_small_and_opens_with_acknowledgements():
    sender, receiver = sending(), Receiving()
    first = sender.parts(0.0)
    assert len(first) == WINDOW_FIRST
    assert sender.parts(0.0) == []
    for part in first:
        receiver.accept(part)
    sender.acknowledged(said_by(receiver), 0.01)
    assert len(sender.parts(0.01)) == 2 * WINDOW_FIRST


def test_without_an_answer_it_sends_ever_less_often():
    sender, now, gaps = sending(10), 0.0, []
    for _ in range(12):
        assert len(sender.parts(now)) == 1
        gaps.append(sender.due_at(now) - now)
        now = sender.due_at(now)
    assert gaps[0] < 0.5
    assert gaps[3] > 2 * gaps[0]
    assert RETRY_MAX_S * 0.7 < gaps[-1] < RETRY_MAX_S * 1.3


def test_the_receiver_ignores_what_does_not_fit():
    receiver = Receiving()
    for wrong in (
        pb.Fragment(transfer=0, index=0, count=1),
        pb.Fragment(transfer=1, index=0, count=0),
        pb.Fragment(transfer=1, index=2, count=2),
        pb.Fragment(transfer=1, index=0, count=wire.LARGE.fragments + 1),
    ):
        assert receiver.accept(wrong) is None
    assert receiver.number == 0
    assert receiver.accept(pb.Fragment(transfer=2, index=1, count=2, part=b"b")) is None
    assert receiver.accept(pb.Fragment(transfer=2, index=0, count=3, part=b"x")) is None
    assert receiver.accept(pb.Fragment(transfer=1, index=0, count=1, part=b"old")) is None
    assert said_by(receiver) == pb.FragmentAck(transfer=2, next=0, beyond=b"\1")
    assert receiver.accept(pb.Fragment(transfer=2, index=0, count=2, part=b"a")) == b"ab"
    assert receiver.accept(pb.Fragment(transfer=2, index=0, count=2, part=b"a")) is None
    assert said_by(receiver) == pb.FragmentAck(transfer=2, next=2)


def test_the_sender_ignores_acknowledgements_that_are_not_of_it():
    sender = sending()
    sender.parts(0.0)
    sender.acknowledged(pb.FragmentAck(transfer=2, next=100), 0.0)
    sender.acknowledged(pb.FragmentAck(transfer=1, next=101), 0.0)
    assert not sender.done
    sender.acknowledged(pb.FragmentAck(transfer=1, next=99, beyond=b"\xff" * 1000), 0.0)
    assert not sender.done
    sender.acknowledged(pb.FragmentAck(transfer=1, next=100), 0.0)
    assert sender.done
