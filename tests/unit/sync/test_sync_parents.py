"""A child that is told another list of parents keeps its session, and goes to the better ones in time."""

from __future__ import annotations

from sync_world import FIRST, TOKEN, World

from kedge.sync.events import Joined


def test_a_child_goes_to_a_parent_that_it_is_told_of() -> None:
    world = World(5)
    head, other = world.parent("head"), world.parent("sm1")
    head.admit("n1", FIRST, TOKEN, 1e9)

    def know(_name: str, event: object) -> None:
        if isinstance(event, Joined):
            other.know("n1", event.epoch, event.node_key)

    world.on_event = know
    child = world.child("n1", prefer_s=10)
    world.run(5)
    assert child.parent == "head"
    child.set_parents(["sm1", "sm2"])
    assert child.parent == "head" and child.parents == ("sm1", "sm2", "head")
    world.run(40)
    assert child.parent == "sm1"
    child.set_parents(["sm1", "sm2"])
    child.set_parents([])
    assert child.parents == ("sm1", "sm2") and child.parent == "sm1"
    world.run(40)
    assert child.parent == "sm1"


def test_a_child_that_seeks_begins_with_the_new_list() -> None:
    world = World(6)
    parent = world.parent("sm1")
    parent.admit("n1", FIRST, TOKEN, 1e9)
    child = world.child("n1", parents=("gone",))
    world.run(5)
    assert child.parent is None
    child.set_parents(["sm1"])
    world.run(20)
    assert child.parent == "sm1"
