"""Peers that restart, move, fall silent and come back: what they hold of one another goes on."""

from __future__ import annotations

import pytest

from kedge.sync.events import (
    Configured,
    ConfiguredAcked,
    Discovered,
    Joined,
    Left,
    Lost,
    ParentLost,
    Resumed,
    SessionUp,
)
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Kind
from unit.sync.sync_world import TOKEN, World, joined_world, reasons

E1, E2 = Epoch(1, 1), Epoch(1, 2)


def test_a_successor_goes_on_with_the_key_and_the_versions():
    world = joined_world()
    child = world.ends["n1"]
    saved = child.export()
    child.set_discovered("facts", b"newer than what was saved")
    world.run(1.0)
    count = len(world.seen)
    successor = world.child("n1", saved=saved)
    assert successor.configured == {"node": b"{}"}
    successor.set_discovered("boot.stage", b'"running"')
    world.run(1.0)
    assert world.took("head", Resumed) == [("n1", E1, "n1")]
    assert len(world.took("head", Joined)) == 1
    assert world.ends["head"].discovered("n1") == {"boot.stage": b'"running"'}
    assert len(world.took("n1", Configured)) == 1  # the successor had it already
    assert len(world.seen) - count < 10


def test_a_parent_that_restarts_is_found_at_the_next_heartbeat_and_gets_everything():
    world = joined_world()
    joined = world.took("head", Joined)[0]
    parent = world.parent(counter=2)
    parent.know("n1", joined.epoch, joined.node_key)
    parent.set_configured("n1", {"node": b"{}", "files": b"[]"})
    world.run(12.0)
    assert world.took("head", Resumed) == [("n1", E1, "n1")]
    assert world.took("head", Discovered)[-1].full
    assert parent.discovered("n1") == {"boot.stage": b'"layer0"'}
    assert world.took("n1", Configured)[-1].changed == {"files": b"[]"}
    assert not world.took("n1", ParentLost)


def test_a_parent_that_forgot_its_count_still_gets_its_configuration_through():
    world = joined_world()
    joined = world.took("head", Joined)[0]
    for value in range(5):
        world.ends["head"].set_configured("n1", {"node": b"%d" % value})
        world.run(1.0)
    parent = world.parent(counter=1)  # the same incarnation again: versions must not go back
    parent.know("n1", joined.epoch, joined.node_key)
    parent.set_configured("n1", {"node": b"after"})
    world.run(12.0)
    assert world.ends["n1"].configured == {"node": b"after"}
    assert parent.configured_version("n1") > 6
    assert world.took("head", ConfiguredAcked)[-1].version == parent.configured_version("n1")


def test_an_earlier_incarnation_configures_nobody_and_is_told():
    world = joined_world()
    joined = world.took("head", Joined)[0]
    parent = world.parent(counter=0)
    parent.know("n1", joined.epoch, joined.node_key)
    parent.set_configured("n1", {"node": b"stale"})
    world.run(60.0)
    assert world.ends["n1"].configured == {"node": b"{}"}
    assert "holds a configuration of a later owner" in reasons(world)


def test_a_new_boot_makes_the_old_one_silent():
    world = joined_world()
    parent, old = world.ends["head"], world.ends["n1"]
    world.ends["old"] = old
    world.events["old"] = []
    parent.admit("n1", E2, bytes(32), 1000.0)
    world.child("n1", E2, token=bytes(32)).set_discovered("boot.stage", b'"new"')
    world.run(1.0)
    old.set_discovered("boot.stage", b'"ghost"')
    world.run(200.0)
    assert [event.epoch for event in world.took("head", Joined)] == [E1, E2]
    assert parent.discovered("n1") == {"boot.stage": b'"new"'}
    assert all(event.epoch == E2 for event in world.took("head", Discovered)[1:])
    assert old.parent is None
    assert world.ends["n1"].configured == {"node": b"{}"}


def test_silence_is_told_once_and_the_return_too():
    world = joined_world(heartbeat_s=2.0)
    world.cut = {("n1", "head"), ("head", "n1")}
    world.run(60.0)
    lost = world.took("head", Lost)
    assert [event.node for event in lost] == ["n1"]
    assert 7.0 <= lost[0].silent_s < 9.5
    assert len(world.took("n1", ParentLost)) == 1
    assert world.ends["n1"].configured == {"node": b"{}"}
    world.ends["n1"].set_discovered("load", b"1")
    world.cut.clear()
    world.run(20.0)
    assert world.took("head", Resumed)
    assert world.ends["head"].discovered("n1")["load"] == b"1"


@pytest.mark.parametrize("cut", [("n1", "head"), ("head", "n1")])
def test_a_cut_one_way_is_seen_at_both_ends(cut: tuple[str, str]):
    world = joined_world(heartbeat_s=2.0)
    world.cut = {cut}
    world.run(30.0)
    assert world.took("n1", ParentLost)
    assert world.took("head", Lost)
    world.cut.clear()
    world.run(20.0)
    assert world.ends["head"].is_attached("n1")


def test_a_node_may_change_its_port():
    world = joined_world()
    world.ends["n1:2"] = world.ends.pop("n1")
    world.events["n1:2"] = []
    world.run(15.0)
    count = len(world.seen)
    world.ends["head"].set_configured("n1", {"node": b"moved"})
    world.run(1.0)
    assert world.ends["n1:2"].configured == {"node": b"moved"}
    assert not [target for _, target, _ in world.seen[count:] if target == "n1"]
    assert not world.took("head", Resumed)


def test_keys_are_renewed_in_silence():
    world = World()
    parent = world.parent()
    parent.admit("n1", E1, TOKEN, 100.0)
    parent.set_configured("n1", {"files": bytes(50_000)})
    child = world.child("n1", renew_s=30.0)
    key_ids = set()
    for step in range(300):
        child.set_discovered("step", b"%d" % step)
        world.run(1.0)
        assert parent.discovered("n1") == {"step": b"%d" % step}
    key_ids = {d[4:8] for _, target, d in world.seen if target == "head" and d[2] == Kind.SEALED}
    assert 9 <= len(key_ids) <= 15
    assert len(world.took("head", Joined)) == 1
    assert not world.took("head", Resumed)
    assert len(world.took("n1", SessionUp)) == len(world.took("n1", Configured)) == 1
    assert len(parent._links.everyone()) <= 2


def test_the_next_parent_takes_over_and_the_first_gets_its_node_back():
    world = World()
    first = world.parent("first", heartbeat_s=2.0)
    second = world.parent("second", counter=2, heartbeat_s=2.0)
    first.admit("n1", E1, TOKEN, 100.0)
    child = world.child("n1", parents=("first", "second"), prefer_s=10.0)
    child.set_discovered("a", b"1")
    world.run(2.0)
    joined = world.took("first", Joined)[0]
    second.know("n1", joined.epoch, joined.node_key)  # in the tree, the owner tells it
    world.cut = {("n1", "first")}
    world.run(20.0)
    child.set_discovered("a", b"2")
    world.run(2.0)
    assert child.parent == "second"
    assert second.discovered("n1") == {"a": b"2"}
    assert first.discovered("n1") == {"a": b"1"}
    world.cut.clear()
    world.run(60.0)
    assert child.parent == "first"
    assert first.discovered("n1") == {"a": b"2"}
    assert world.took("second", Left) == [("n1", E1, True)]
    assert not world.took("second", Lost)


def test_goodbyes_are_told_at_once():
    world = joined_world()
    world.ends["head"].close()
    world.run(0.5)
    assert world.took("n1", ParentLost)
    world = joined_world()
    world.ends["n1"].close()
    world.run(0.5)
    assert world.took("head", Left) == [("n1", E1, False)]
    assert not world.ends["head"].is_attached("n1")


def test_what_the_session_before_says_of_holdings_does_not_count():
    world = World()
    parent = world.parent()
    parent.admit("n1", E1, TOKEN, 100.0)
    parent.set_configured("n1", {"node": b"{}"})
    child = world.child("n1", renew_s=10.0)
    world.run(2.0)
    before = child._sessions.live[0]
    while child._sessions.live[0] is before:
        world.run(0.1)
    frame = pb.Frame()
    frame.held.add(version=0)
    count = len(world.seen)
    parent.receive_datagram(before.seal(frame.SerializeToString()), "n1", world.clock("head"))
    world.run(1.0)
    assert not [d for source, _, d in world.seen[count:] if source == "head" and len(d) > 60]
    assert set(world.took("head", ConfiguredAcked)) == {("n1", 1)}  # once per session


@pytest.mark.parametrize("counter", [1, 2])
def test_a_parent_that_restarted_takes_nothing_back_before_it_says_so(counter: int):
    world = joined_world()
    joined = world.took("head", Joined)[0]
    parent = world.parent(counter=counter)
    parent.know("n1", joined.epoch, joined.node_key)
    world.run(30.0)
    assert world.took("head", Resumed)
    assert world.ends["n1"].configured == {"node": b"{}"}
    parent.set_configured("n1", {})
    world.run(12.0)  # of the same incarnation, only the hash tells
    assert world.ends["n1"].configured == {}
    assert world.took("n1", Configured)[-1].changed == {"node": None}
    assert world.took("head", ConfiguredAcked)[-1].version == parent.configured_version("n1")
