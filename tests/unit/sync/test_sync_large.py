"""Peers of different releases, and records as large as a sub-master's."""

from __future__ import annotations

import random

import pytest

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.events import Joined, Refused
from kedge.sync.handshake import FEATURE_LARGE, FEATURE_TREE_HASH, FEATURES
from unit.sync.sync_world import FIRST, TOKEN, World

RELEASES = [0, FEATURE_TREE_HASH, FEATURE_LARGE, FEATURES, FEATURES | 1 << 40]


@pytest.mark.parametrize("parent", RELEASES)
@pytest.mark.parametrize("child", RELEASES)
def test_ends_of_any_two_releases_come_to_hold_the_same(parent: int, child: int):
    world = World(parent * 7 + child, loss=0.1)
    head = world.parent(features=parent, heartbeat_s=1.0)
    head.admit("n1", FIRST, TOKEN, 100.0)
    end = world.child("n1", features=child)
    rng = random.Random(parent + child)
    for turn in range(30):
        end.set_discovered(f"v{rng.randrange(100)}", rng.randbytes(50))
        head.change_configured("n1", {f"c{rng.randrange(100)}": rng.randbytes(50)})
        if turn == 20:  # something that only the hash can tell
            entry = head._nodes["n1"].incoming.entries
            name = next(iter(entry))
            entry[name] = entry[name]._replace(value=b"rotten")
            head._nodes["n1"].incoming._hashes.replaced()
        world.run(0.3)
    world.run(20.0)
    assert head.discovered("n1") == end.discovered
    assert end.configured == {
        name: entry.value for name, entry in head._nodes["n1"].outgoing.entries.items()
    }
    assert end.in_step


def test_ten_thousand_entries_go_both_ways_and_a_change_is_one_datagram():
    world = World()
    head = world.parent()
    head.admit("n1", FIRST, TOKEN, 100.0)
    end = world.child("n1")
    whole = {f"n{number}": b"v" * 500 for number in range(10_000)}
    end.discover(whole)
    head.set_configured("n1", dict.fromkeys(whole, b"c" * 450))
    world.run(12.0)
    assert head.discovered("n1") == whole
    assert len(end.configured) == 10_000
    before = len(world.seen)
    end.set_discovered("n77", b"w" * 500)
    world.run(1.0)
    assert head.discovered("n1")["n77"] == b"w" * 500
    assert len(world.seen) - before <= 3


def test_changes_of_a_large_record_that_come_one_by_one_travel_together():
    world = World()
    head = world.parent()
    head.admit("n1", FIRST, TOKEN, 100.0)
    end = world.child("n1")
    end.discover({f"n{number}": b"v" * 20 for number in range(2000)})
    world.run(5.0)
    before = len(world.seen)
    for turn in range(500):  # a thousand changes a second
        end.set_discovered(f"n{turn}", b"w" * 20)
        world.pump("n1")
        world.run(0.001)
    world.run(1.0)
    assert head.discovered("n1") == end.discovered
    assert len(world.seen) - before < 100


def test_a_child_of_an_older_release_is_not_sent_what_it_does_not_take():
    world = World()
    head = world.parent()
    head.admit("n1", FIRST, TOKEN, 100.0)
    end = world.child("n1", features=FEATURE_TREE_HASH)
    head.set_configured("n1", {f"n{number}": b"" for number in range(wire.SMALL.entries + 1)})
    end.set_discovered("a", b"1")
    world.run(60.0)
    assert world.took("head", Joined)
    assert [event.reason for event in world.took("head", Refused)] == [
        "its release takes no configuration as large as this"
    ]
    assert head.discovered("n1") == {"a": b"1"}
    assert end.configured == {}
    assert len(world.seen) < 60


def test_only_whom_the_parent_trusts_with_it_may_be_large():
    """A node that was taken over must not fill the memory of the head."""
    world = World()
    head = world.parent(large=lambda name: name == "sub-master")
    whole = {f"n{number}": b"" for number in range(wire.SMALL.entries + 1)}
    for name in ("sub-master", "n1"):
        head.admit(name, FIRST, TOKEN, 100.0)
        world.child(name).discover(whole)
    world.run(30.0)
    assert len(head.discovered("sub-master")) == len(whole)
    assert head.discovered("n1") == {}


def test_no_end_takes_more_than_was_agreed():
    small, large = World(), World()
    for world, features in ((small, 0), (large, FEATURES)):
        head = world.parent(features=features)
        head.admit("n1", FIRST, TOKEN, 100.0)
        end = world.child("n1")
        end.discover({f"n{number}": b"" for number in range(wire.SMALL.entries + 1)})
        world.run(30.0)
    assert small.ends["head"].discovered("n1") == {}
    assert len(large.ends["head"].discovered("n1")) == wire.SMALL.entries + 1
    with pytest.raises(KedgeError) as error:
        large.ends["n1"].discover({f"m{number}": b"" for number in range(wire.LARGE.entries)})
    assert error.value.code == "sync.record_too_large"
