"""A node is configured by one owner after another, and by none that is not its owner any more."""

from __future__ import annotations

from sync_world import FIRST, TOKEN, World

from kedge.sync.events import Joined
from kedge.sync.parent import Parent
from kedge.sync.wire import Epoch


def test_a_later_owner_replaces_the_record_and_an_earlier_one_says_nothing() -> None:
    world = World(3, loss=0.1)
    first, second = world.parent("sm1"), world.parent("sm2")
    child = world.child("n1", parents=("sm1", "sm2"), prefer_s=1e9)
    first.admit("n1", FIRST, TOKEN, 1e9)

    def know(_name: str, event: object) -> None:
        if isinstance(event, Joined):
            second.know("n1", event.epoch, event.node_key)

    world.on_event = know
    first.set_configured("n1", {"a": b"1", "b": b"1"}, Epoch(5, 1))
    world.run(60)
    assert child.configured == {"a": b"1", "b": b"1"} and child.parent == "sm1"
    assert isinstance(world.ends["sm1"], Parent)

    del world.ends[
        "sm1"
    ]  # the second has the node's key, is no owner, and does not touch the record
    world.run(120)
    assert child.parent == "sm2" and child.configured == {"a": b"1", "b": b"1"}

    second.set_configured("n1", {"a": b"2"}, Epoch(6, 1))
    world.run(60)
    assert child.configured == {"a": b"2"}
    second.set_configured("n1", {"a": b"3"}, Epoch(6, 1))
    world.run(60)
    assert child.configured == {"a": b"3"}

    world.ends["sm1"] = first  # the former owner is back, and has the ear of the node again
    del world.ends["sm2"]
    first.set_configured("n1", {"a": b"old"}, Epoch(5, 1))
    world.run(200)
    assert child.parent == "sm1" and child.configured == {"a": b"3"}
    first.set_configured("n1", {"a": b"4"}, Epoch(7, 1))
    world.run(60)
    assert child.configured == {"a": b"4"}


def test_a_relay_reads_what_a_node_reported() -> None:
    world = World(4)
    parent = world.parent()
    parent.admit("n1", FIRST, TOKEN, 1e9)
    child = world.child("n1")
    child.set_discovered("x", b"1")
    world.run(5)
    stamp, entries = parent.held("n1")
    assert stamp.epoch == FIRST and entries["x"].value == b"1"
    assert parent.epoch("n1") == FIRST and parent.epoch("n2") is None
