"""A parent that does not own a node passes on what its owner wrote, as it came."""

from __future__ import annotations

from sync_world import FIRST, TOKEN, World

from kedge.sync.child import Child
from kedge.sync.difference import Stamp
from kedge.sync.events import Configured, Joined
from kedge.sync.parent import Parent
from kedge.sync.wire import Epoch

TENURE = Epoch(5, 1)


def two_parents(world: World) -> tuple[Parent, Parent, Child]:
    """An owner, sm1, which the node cannot reach any more, and sm2, to which it is attached."""
    owner, other = world.parent("sm1"), world.parent("sm2")
    child = world.child("n1", parents=("sm1", "sm2"), prefer_s=20.0)
    owner.admit("n1", FIRST, TOKEN, 1e9)

    def know(_name: str, event: object) -> None:
        if isinstance(event, Joined):
            other.know("n1", event.epoch, event.node_key)

    world.on_event = know
    owner.set_configured("n1", {"a": b"1", "b": b"1"}, TENURE)
    world.run(60)
    cut(world)
    world.run(120)
    assert child.parent == "sm2" and child.configured == {"a": b"1", "b": b"1"}
    return owner, other, child


def cut(world: World) -> None:
    world.cut |= {("n1", "sm1"), ("sm1", "n1")}


def relayed(world: World, owner: Parent, other: Parent) -> None:
    other.relay_configured("n1", owner.written("n1"))
    world.run(60)


def test_what_the_owner_wrote_arrives_through_the_other_parent_and_is_known_to_have() -> None:
    world = World(3, loss=0.1)
    owner, other, child = two_parents(world)
    before = other.configured_at("n1")
    assert before is not None and before.epoch == TENURE
    owner.change_configured("n1", {"a": b"2", "b": None})
    relayed(world, owner, other)
    assert child.configured == {"a": b"2"}
    assert other.configured_at("n1") == Stamp(TENURE, owner.configured_version("n1"))
    assert other.written_at("n1") is None, "it is not this parent's"

    owner.change_configured("n1", {"c": b"3"})
    relayed(world, owner, other)
    assert child.configured == {"a": b"2", "c": b"3"}

    told = len([e for e in world.events["n1"] if isinstance(e, Configured)])
    world.cut.clear()  # the owner is there again: nothing is said anew
    world.run(120)
    assert child.parent == "sm1"
    assert len([e for e in world.events["n1"] if isinstance(e, Configured)]) == told
    owner.change_configured("n1", {"c": b"4"})
    world.run(60)
    assert child.configured == {"a": b"2", "c": b"4"}


def test_what_is_relayed_late_takes_nothing_back() -> None:
    world = World(4)
    owner, other, child = two_parents(world)
    owner.change_configured("n1", {"a": b"2"})
    late = owner.written("n1")
    owner.change_configured("n1", {"a": b"3"})
    relayed(world, owner, other)
    other.relay_configured("n1", late)
    world.run(60)
    assert child.configured["a"] == b"3"

    world.cut.clear()
    world.run(120)
    owner.change_configured("n1", {"a": b"4"})
    world.run(60)
    cut(world)  # and back to the other parent, which still has what was said before
    world.run(120)
    assert child.parent == "sm2" and child.configured["a"] == b"4"
    before = len(world.seen)
    world.run(60)
    said = [1 for source, target, _ in world.seen[before:] if (source, target) == ("sm2", "n1")]
    assert len(said) < 12, "it answers heartbeats, and sends nothing that the node has outgrown"
    relayed(world, owner, other)
    assert child.configured["a"] == b"4"


def test_a_relayed_record_is_fenced_by_tenures_and_can_be_withdrawn() -> None:
    world = World(5)
    owner, other, child = two_parents(world)
    world.cut |= {("n1", "sm2"), ("sm2", "n1")}
    owner.change_configured("n1", {"a": b"2"})
    relayed(world, owner, other)
    other.relay_configured("n1", None)
    world.cut = {("n1", "sm1"), ("sm1", "n1")}
    world.run(120)
    assert child.parent == "sm2" and child.configured["a"] == b"1", (
        "it was withdrawn before it came"
    )

    other.set_configured("n1", {"a": b"old"}, Epoch(4, 1))  # it was the owner long ago
    other.change_configured("n1", {"a": b"old"})
    world.run(60)
    assert child.configured["a"] == b"1"
    relayed(world, owner, other)
    assert child.configured["a"] == b"2"

    other.set_configured("n1", {"a": b"mine"}, Epoch(6, 1))  # the next owner
    world.run(60)
    assert child.configured == {"a": b"mine"}
    relayed(world, owner, other)
    assert child.configured == {"a": b"mine"}
    assert other.written_at("n1") is not None
