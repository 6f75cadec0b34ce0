"""Forged, replayed, cut and random datagrams change nothing, and never raise."""

from __future__ import annotations

import random

import pytest

from kedge.sync import keys, wire
from kedge.sync.child import EVENTS_MAX, Child
from kedge.sync.events import Discovered, Joined, Refused, SessionUp
from kedge.sync.parent import Parent
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Kind
from unit.sync.sync_world import TOKEN, World

E1 = Epoch(1, 1)


def busy_world() -> World:
    """A world in which every kind of datagram was sent."""
    world = World(3)
    parent = world.parent()
    parent.admit("n1", E1, TOKEN, 1000.0)
    parent.set_configured("n1", {"files": bytes(3000)})
    world.child("n1").discover({"boot.stage": b'"layer0"', "facts": bytes(3000)})
    world.child("n2")
    world.run(15.0)
    world.ends["head"].set_configured("n1", {"files": bytes(3000), "order/x": b"1"})
    world.ends["n1"].set_discovered("boot.stage", b'"running"')
    world.run(5.0)
    del world.ends["n2"]
    return world


def state(world: World) -> tuple[object, ...]:
    parent, child = world.ends["head"], world.ends["n1"]
    assert isinstance(parent, Parent)
    assert isinstance(child, Child)
    return (
        parent.discovered("n1"),
        child.configured,
        child.parent,
        parent.is_attached("n1"),
        child.export(),
    )


def poke(world: World, target: str, datagram: bytes, source: str = "evil") -> list[object]:
    """Give a datagram to one end; the events that it made."""
    end = world.ends[target]
    end.receive_datagram(datagram, source, world.clock(target))
    made = []
    while (event := end.next_event()) is not None:
        made.append(event)
    return made


def test_everything_replayed_to_everybody_changes_nothing():
    world = busy_world()
    before, again = state(world), list(world.seen)
    for source, _, datagram in again:
        for target in ("head", "n1"):
            made = poke(world, target, datagram, source)
            assert all(isinstance(event, Refused) for event in made)
            said = world.ends[target].datagrams_to_send(world.clock(target))
            assert all(answer[2] in (Kind.REFUSAL, Kind.UNKNOWN_KEY) for answer, _ in said)
    world.run(1.0)
    assert state(world) == before


def test_everything_replayed_to_a_parent_that_restarted_changes_nothing():
    world = busy_world()
    joined = world.took("head", Joined)[0]
    again = [datagram for _, target, datagram in world.seen if target == "head"]
    parent = world.parent(counter=2)
    parent.know("n1", joined.epoch, joined.node_key)
    count = len(world.events["head"])
    for datagram in again:
        poke(world, "head", datagram)
    assert parent.discovered("n1") == {}
    assert len(world.events["head"]) == count


@pytest.mark.parametrize("seed", range(3))
def test_every_flipped_bit_and_every_cut_is_noticed(seed: int):
    world = busy_world()
    before, rng = state(world), random.Random(seed)
    live = [(s, t, d) for s, t, d in world.seen if "n2" not in (s, t)]
    for source, target, datagram in live:
        for _ in range(8):
            bad = bytearray(datagram)
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
            made = poke(world, target, bytes(bad), source)
            made += poke(world, target, datagram[: rng.randrange(len(datagram))], source)
            assert all(isinstance(event, Refused) for event in made)
    assert state(world) == before


def test_a_stranger_cannot_reflect_more_than_he_sends():
    world = busy_world()
    world.run(60.0)
    for _, _, datagram in list(world.seen):
        for target in ("head", "n1"):
            end = world.ends[target]
            end.datagrams_to_send(world.clock(target))
            end.receive_datagram(datagram, "evil", world.clock(target))
            out = end.datagrams_to_send(world.clock(target))
            answered = sum(len(answer) for answer, address in out if address == "evil")
            assert answered <= len(datagram)


def test_a_short_hello_is_not_answered():
    world = World()
    world.parent().admit("n1", E1, TOKEN, 100.0)
    hello = pb.Hello(node="n1", secret=pb.SECRET_TOKEN, nonce=bytes(32), public_key=b"k" * 32,
                     version_min=1, version_max=1, suites=[1])  # fmt: skip
    wire.fill_epoch(hello.epoch, E1)
    said = wire.pack_header(Kind.HELLO, 7) + hello.SerializeToString()
    short = said + keys.hello_code(TOKEN, said)
    assert len(short) < wire.HELLO_MIN_BYTES
    assert poke(world, "head", short) == []
    assert world.ends["head"].datagrams_to_send(0.0) == []


def test_a_hello_replayed_without_the_token_leads_nowhere():
    world = World()
    world.parent().admit("n1", E1, TOKEN, 100.0)
    hello = world.child("n1").datagrams_to_send(0.0)[0][0]
    for moment in range(100):
        world.ends["head"].receive_datagram(hello, f"evil{moment}", 0.0)
    assert len(world.ends["head"]._links.everyone()) == 1  # one key agreement for all
    world.run(10.0)
    assert len(world.took("head", Joined)) == 1
    assert world.ends["n1"].parent == "head"


def test_a_flood_of_authentic_hellos_is_bounded():
    world = World()
    parent = world.parent(handshakes_per_s=10.0, handshakes_burst=20.0)
    parent.admit("n1", E1, TOKEN, 100.0)
    for _ in range(200):
        hello = Child("n1", E1, ("head",), token=TOKEN, random_bytes=world.random.randbytes,
                      chance=world.random).datagrams_to_send(0.0)[0][0]  # fmt: skip
        parent.receive_datagram(hello, "n1", 0.0)
    assert len(parent.datagrams_to_send(0.0)) == 20
    assert len(parent._links.everyone()) == 4


def test_a_flood_of_unknown_names_is_told_seldom_and_remembered_in_bounds():
    world = World()
    parent = world.parent()
    for number in range(10_000):
        hello = pb.Hello(node=f"x{number}", nonce=bytes(32), public_key=bytes(32))
        said = wire.pack_header(Kind.HELLO, 7) + hello.SerializeToString() + bytes(200)
        parent.receive_datagram(said, number, 0.001 * number)
    events = 0
    while parent.next_event() is not None:
        events += 1
    assert events <= 4096
    assert parent.datagrams_to_send(10.0) == []


def test_a_forged_notice_of_an_unknown_key_costs_one_hello_and_no_session():
    world = busy_world()
    sealed = [d for _, target, d in world.seen if target == "head" and d[2] == Kind.SEALED][-1]
    notice = b"\x4b\x01\x05\x00" + sealed[4:8] + bytes(8)
    count = len(world.took("n1", SessionUp))
    for _ in range(50):
        poke(world, "n1", notice)
    sent = world.ends["n1"].datagrams_to_send(world.now)
    assert [datagram[2] for datagram, _ in sent] == [Kind.HELLO]
    for datagram, address in sent:
        world.send("n1", address, datagram)
    world.run(2.0)
    assert len(world.took("n1", SessionUp)) == count + 1
    assert world.ends["head"].is_attached("n1")


def test_a_forged_refusal_stops_nobody():
    world = World()
    world.parent().admit("n1", E1, TOKEN, 100.0)
    child = world.child("n1")
    hello = child.datagrams_to_send(0.0)[0][0]
    body = pb.Refusal(nonce_prefix=b"guess it", reason=pb.REASON_TOKEN_SPENT)
    forged = b"\x4b\x01\x03\x00" + hello[4:8] + bytes(8) + body.SerializeToString()
    assert poke(world, "n1", forged) == []
    seen = wire.parse_hello(hello[16:-32])
    assert seen is not None
    body.nonce_prefix = seen.nonce[:8]
    forged = b"\x4b\x01\x03\x00" + hello[4:8] + bytes(8) + body.SerializeToString()
    assert len(poke(world, "n1", forged)) == 1
    world.run(5.0)
    assert child.parent == "head"


def test_a_member_that_sends_nonsense_inside_its_seal_harms_nobody():
    world = busy_world()
    before, rng = state(world), random.Random(5)
    child, parent = world.ends["n1"], world.ends["head"]
    session = child._sessions.live[0]
    for number in range(3000):
        frame = pb.Frame()
        if number % 3 == 0:
            plain = rng.randbytes(rng.randrange(60))
        else:
            update = pb.Update()
            record = update.records.add(base=rng.choice([0, 1, 2**63]), version=rng.choice([0, 2]))
            record.node = rng.choice(["", "n2", "x" * 300])
            record.epoch.term = rng.choice([0, 1, 2**64 - 1])
            record.entries.add(name=rng.choice(["", "a" * 300]), version=1, value=b"bad")
            frame.fragment.transfer = 100 + number
            frame.fragment.count = rng.choice([0, 1, 2**32 - 1])
            frame.fragment.part = update.SerializeToString()
            frame.status.add(version=2**64 - 1, hash=rng.randbytes(rng.choice([3, 16])))
            frame.held.add(version=2**64 - 1)
            frame.fragment_ack.transfer = rng.randrange(2**32)
            frame.fragment_ack.next = rng.randrange(2**32)
            frame.fragment_ack.beyond = rng.randbytes(200)
            plain = frame.SerializeToString()
        for event in poke(world, "head", session.seal(plain), "n1"):
            assert not isinstance(event, (Joined, Discovered))
        parent.datagrams_to_send(world.now)
    assert state(world) == before


def test_unread_events_are_bounded_and_nothing_is_lost_for_good():
    world = World()
    parent = world.parent()
    parent.admit("n1", E1, TOKEN, 100.0)
    child = world.child("n1")
    world.run(1.0)
    pump, world.pump = world.pump, lambda name: None
    for number in range(EVENTS_MAX + 50):  # the agent does not take its events
        parent.set_configured("n1", {"n": b"%d" % number})
        for datagram, _ in parent.datagrams_to_send(world.now):
            child.receive_datagram(datagram, "head", world.now)
        for datagram, _ in child.datagrams_to_send(world.now):
            parent.receive_datagram(datagram, "n1", world.now)
    assert len(child._events) <= EVENTS_MAX
    world.pump = pump
    world.run(30.0)
    assert child.configured == {"n": b"%d" % (EVENTS_MAX + 49)}
