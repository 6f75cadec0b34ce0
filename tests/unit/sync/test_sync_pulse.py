"""Heartbeats that say nothing new take a short way; whatever happens, nobody can tell that they do."""

from __future__ import annotations

import random

import pytest

from kedge.sync.events import ConfiguredAcked, Discovered, Lost, Resumed
from kedge.sync.exchange import Exchange
from kedge.sync.parent import Parent
from kedge.sync.reception import Reception
from kedge.sync.session import COUNTERS
from kedge.sync.wire import Kind
from unit.sync.sync_world import FIRST, TOKEN, World


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The counters of the frames that go the ordinary way."""
    counters: list[int] = []
    ordinary = Reception._read

    def noted(self: Reception, link: object, counter: int, *rest: object, **more: object) -> None:
        counters.append(counter)
        ordinary(self, link, counter, *rest, **more)

    monkeypatch.setattr(Reception, "_read", noted)
    return counters


def settled(seed: int = 1, **options: float) -> World:
    """One child that has nothing new to say, heartbeats every second."""
    world = World(seed)
    world.parent(heartbeat_s=1.0).admit("n1", FIRST, TOKEN, 100.0)
    world.child("n1", **options).set_discovered("a", b"1")
    world.ends["head"].set_configured("n1", {"c": b"1"})
    world.run(5.0)
    assert world.ends["n1"].in_step
    return world


def test_heartbeats_take_the_short_way_and_keep_the_session(read: list[int]):
    world = settled()
    read.clear()
    answered = len(world.seen)
    world.run(100.0)
    assert read == []
    assert len(world.seen) - answered > 160  # both ways
    assert not world.took("head", Lost)
    assert world.ends["head"].is_attached("n1")
    assert world.ends["n1"].parent == "head"


def test_news_at_either_end_is_told_at_once(read: list[int]):
    world = settled()
    world.ends["n1"].set_discovered("a", b"2")
    world.run(0.5)
    assert world.took("head", Discovered)[-1].changes == {"a": b"2"}
    world.run(5.0)
    read.clear()
    world.run(5.0)
    assert read == []
    world.ends["head"].set_configured("n1", {"c": b"2"})
    world.run(0.5)
    assert world.ends["n1"].configured == {"c": b"2"}
    assert world.took("head", ConfiguredAcked)[-1].version == 2
    assert read


def test_a_heartbeat_counts_once_and_only_if_it_is_authentic(read: list[int]):
    world = settled()
    head = world.ends["head"]
    assert isinstance(head, Parent)
    beat = next(d for source, _, d in reversed(world.seen) if source == "n1")
    read.clear()
    now = world.clock("head")
    link = head._links.get(head._nodes["n1"].current)
    assert link is not None
    head._links.pulses.settle(link)
    heard_at = link.session.heard_at
    counter = (link.session.window.newest + 1).to_bytes(8, "big")
    for datagram in (beat[:8] + counter + beat[16:], beat, beat[:-1] + bytes([beat[-1] ^ 1])):
        head.receive([(datagram, "thief")], now + 5.0)
    assert head.datagrams_to_send(now) == []
    assert (link.session.address, link.session.heard_at) == ("n1", heard_at)
    assert read == []


def test_a_silent_node_is_lost_and_comes_back(read: list[int]):
    world = settled()
    world.cut.add(("n1", "head"))
    world.run(10.0)
    assert len(world.took("head", Lost)) == 1
    world.cut.clear()
    read.clear()
    world.run(40.0)
    assert world.took("head", Resumed)
    assert world.ends["head"].is_attached("n1")
    before = len(read)
    world.run(10.0)
    assert len(read) == before


def test_a_node_may_move_to_another_port():
    world = settled()
    world.ends["elsewhere"] = world.ends.pop("n1")
    world.events["elsewhere"] = []
    world.run(3.0)
    assert world.ends["head"].is_attached("n1")
    world.ends["head"].set_configured("n1", {"c": b"3"})
    world.run(0.5)
    assert world.ends["elsewhere"].configured == {"c": b"3"}


@pytest.mark.parametrize("seed", range(6))
def test_the_short_way_and_the_long_way_tell_the_same(seed: int, monkeypatch: pytest.MonkeyPatch):
    told: list[list[object]] = []
    for short in (True, False):
        if not short:
            monkeypatch.setattr("kedge.sync.pulse.Pulses.keep", lambda *_: None)
        world, rng = settled(seed), random.Random(seed)
        world.loss = 0.2
        world.delay_s = (0.001, 0.4)
        for turn in range(30):
            if rng.random() < 0.3:
                world.ends["n1"].set_discovered("a", b"%d" % turn)
            if rng.random() < 0.3:
                world.ends["head"].set_configured("n1", {"c": b"%d" % turn})
            world.run(rng.choice([0.05, 0.7, 3.0]))
        told.append([*world.events["head"], *world.events["n1"], len(world.seen)])
    assert told[0] == told[1]


def test_a_calm_child_makes_and_parses_nothing(monkeypatch: pytest.MonkeyPatch):
    world = settled()
    made: list[object] = []
    for name in ("read", "write"):
        ordinary = getattr(Exchange, name)

        def noted(self: Exchange, *args: object, ordinary: object = ordinary, **more: object):
            if not self.is_parent:
                made.append(self)
            return ordinary(self, *args, **more)

        monkeypatch.setattr(Exchange, name, noted)
    world.run(100.0)
    assert made == []
    world.cut.add(("head", "n1"))
    world.run(2.0)
    assert made  # nobody answers: it asks again, in the ordinary way
    world.cut.clear()
    world.run(5.0)
    made.clear()
    world.run(20.0)
    assert made == []
    assert world.ends["n1"].parent == "head"


def test_keys_are_renewed_after_so_many_datagrams_also_in_calm():
    world = settled(renew_counter=20, prefer_s=5.0)
    before = set(world.ends["head"]._nodes["n1"].sessions)
    world.run(5.0)
    assert set(world.ends["head"]._nodes["n1"].sessions) == before
    world.run(25.0)
    assert before.isdisjoint(world.ends["head"]._nodes["n1"].sessions)
    assert not world.took("head", Lost) + world.took("head", Resumed)
    session, _ = world.ends["n1"]._sessions.live
    assert session.counter < 25


def test_a_worn_key_is_kept_while_the_parent_does_not_answer_the_renewal():
    world = settled(renew_counter=20, prefer_s=3.0)
    ordinary = world.send

    def without_hellos(source: str, target: str, datagram: bytes) -> None:
        if datagram[2] != Kind.HELLO:
            ordinary(source, target, datagram)

    world.send = without_hellos
    before = set(world.ends["head"]._nodes["n1"].sessions)
    sent = len(world.seen)
    world.run(60.0)
    assert set(world.ends["head"]._nodes["n1"].sessions) == before
    assert world.ends["head"].is_attached("n1")
    assert len(world.seen) - sent < 250
    world.send = ordinary
    world.run(40.0)  # until the next hello, and until the key before is read no more
    assert before.isdisjoint(world.ends["head"]._nodes["n1"].sessions)


def test_no_key_seals_more_than_it_may():
    world = settled()
    session, exchange = world.ends["n1"]._sessions.live
    exchange.ask()
    (frame,) = exchange.write(world.now)
    session.counter = COUNTERS
    link = world.ends["head"]._links.get(world.ends["head"]._nodes["n1"].current)
    world.ends["head"]._links.pulses.settle(link)
    before = link.session.window.newest
    world.ends["head"].receive([(session.seal(frame.SerializeToString()), "n1")], world.now)
    assert link.session.window.newest == before
    session.counter = COUNTERS - 1
    world.ends["head"].receive([(session.seal(frame.SerializeToString()), "n1")], world.now)
    assert link.session.window.newest == COUNTERS - 1
