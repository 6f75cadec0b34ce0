"""Joining, resuming, restarting, being refused: a parent and a child on a link that works."""

from __future__ import annotations

import pytest

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.child import Child
from kedge.sync.events import (
    Configured,
    ConfiguredAcked,
    Discovered,
    Joined,
    Left,
    Lost,
    ParentLost,
    Refused,
    Resumed,
    SessionUp,
)
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Kind
from unit.sync.sync_world import TOKEN, World

E1, E2 = Epoch(1, 1), Epoch(1, 2)


def joined_world(**options: float) -> World:
    world = World()
    parent = world.parent(**options)
    parent.admit("n1", E1, TOKEN, 100.0)
    parent.set_configured("n1", {"node": b"{}"})
    world.child("n1").set_discovered("boot.stage", b'"layer0"')
    world.run(1.0)
    assert len(world.took("head", Joined)) == 1
    return world


def reasons(world: World, name: str = "head") -> list[str]:
    return [event.reason for event in world.took(name, Refused)]


def kinds(world: World) -> list[int]:
    return [datagram[2] for _, _, datagram in world.seen]


def test_a_child_joins_reports_and_is_configured():
    world = joined_world()
    parent, child = world.ends["head"], world.ends["n1"]
    assert world.took("n1", SessionUp) == [("head", E1)]
    assert world.took("n1", Configured) == [({"node": b"{}"}, {"node": b"{}"}, True)]
    assert world.took("head", ConfiguredAcked) == [("n1", 1)]
    assert parent.configured_version("n1") == 1
    assert world.took("head", Discovered) == [("n1", E1, {"boot.stage": b'"layer0"'}, True)]
    child.discover({"boot.stage": b'"running"', "facts": bytes(5000)})
    parent.set_configured("n1", {"node": b"{}", "order/x": b"1"})
    world.run(1.0)
    change = {"boot.stage": b'"running"', "facts": bytes(5000)}
    assert world.took("head", Discovered)[-1] == ("n1", E1, change, False)
    assert parent.discovered("n1") == child.discovered == change
    assert world.took("n1", Configured)[-1].changed == {"order/x": b"1"}
    parent.set_configured("n1", {"node": b"{}"})
    world.run(1.0)
    assert world.took("n1", Configured)[-1] == ({"node": b"{}"}, {"order/x": None}, False)
    assert child.in_step


def test_heartbeats_are_small_few_and_jittered():
    world = joined_world()
    count = len(world.seen)
    world.run(1000.0)
    beats = world.seen[count:]
    assert 180 <= len(beats) <= 230  # a beat and its answer in 10 s
    assert max(len(datagram) for _, _, datagram in beats) <= 64
    assert not world.took("head", Lost)


def test_no_secret_and_no_name_of_an_entry_is_readable_on_the_wire():
    world = joined_world()
    key = world.took("head", Joined)[0].node_key
    for _, _, datagram in world.seen:
        for secret in (TOKEN, key, b"boot.stage", b"layer0"):
            assert secret not in datagram
    assert repr(key)[2:-1] not in repr(world.took("head", Joined)[0])


def test_a_token_lets_in_once():
    world = joined_world()
    world.child("n1", address="thief")
    world.run(5.0)
    assert len(world.took("head", Joined)) == 1
    assert "token already used" in reasons(world)
    assert "the boot token has been used" in reasons(world, "thief")
    assert world.ends["thief"].parent is None
    assert world.ends["head"].is_attached("n1")


def test_a_token_lets_in_once_across_a_restart_of_the_parent():
    world = joined_world()
    key = world.took("head", Joined)[0].node_key
    del world.ends["n1"]
    parent = world.parent(counter=2)
    parent.know("n1", E1, key)
    with pytest.raises(KedgeError) as raised:
        parent.admit("n1", E1, TOKEN, 1000.0)
    assert raised.value.code == "sync.old_epoch"
    world.child("n1", address="thief")
    world.run(5.0)
    assert len(world.took("head", Joined)) == 1


def test_a_lost_welcome_or_confirmation_does_not_cost_the_token():
    world = World()
    world.parent().admit("n1", E1, TOKEN, 100.0)
    world.cut.add(("head", "n1"))
    world.child("n1")
    world.run(2.0)
    assert not world.took("head", Joined)
    world.cut = {("n1", "head")}
    world.run(2.0)
    world.cut.clear()
    world.run(10.0)
    assert len(world.took("head", Joined)) == 1
    assert world.ends["n1"].parent == "head"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda parent: parent.revoke("n1"), "not admitted"),
        (lambda parent: parent.admit("n1", E2, TOKEN, 99.0), "not admitted"),
        (lambda parent: parent.admit("n1", E1, bytes(32), 99.0), "wrong token"),
        (lambda parent: parent.admit("n1", E1, TOKEN, -1.0), "token expired"),
        (lambda parent: parent.forget("n1"), "unknown node"),
        (lambda parent: parent.know("n1", E2, bytes(32)), "old epoch"),
    ],
)
def test_who_is_turned_away_and_why(spoil, reason: str):
    world = World()
    parent = world.parent()
    parent.admit("n1", E1, TOKEN, 100.0)
    spoil(parent)
    world.child("n1")
    world.run(30.0)
    assert set(reasons(world)) == {reason}
    assert len(reasons(world)) <= 4  # said at most every 10 s
    assert not world.took("head", Joined)


def test_revoking_between_welcome_and_confirmation_counts():
    world = World()
    parent = world.parent()
    parent.admit("n1", E1, TOKEN, 100.0)
    world.child("n1")
    world.on_event = lambda name, event: (
        parent.revoke("n1") if isinstance(event, SessionUp) else None
    )
    world.run(5.0)
    assert not world.took("head", Joined)


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


def test_the_token_is_not_saved_once_the_join_is_confirmed():
    world = joined_world()
    saved = pb.SavedChild.FromString(world.ends["n1"].export())
    assert saved.token == b""
    assert len(saved.node_key) == 32


def test_a_child_that_crashed_before_the_confirmation_still_has_both():
    world = World()
    parent = world.parent()
    parent.admit("n1", E1, TOKEN, 100.0)
    child = world.child("n1")
    saved = []
    world.on_event = lambda _name, event: (
        saved.append(child.export()) if isinstance(event, SessionUp) else None
    )
    world.cut.add(("n1", "head"))
    hello = child.datagrams_to_send(0.0)[0][0]
    parent.receive_datagram(hello, "n1", 0.0)
    world.run(1.0)
    assert pb.SavedChild.FromString(saved[0]).token == TOKEN
    world.cut.clear()
    world.child("n1", saved=saved[0])
    world.run(20.0)
    assert len(world.took("head", Joined)) == 1
    assert parent.is_attached("n1")


def test_damaged_state_is_said_so():
    world = World()
    for bad in (b"", b"\xff", b"garbage"):
        with pytest.raises(KedgeError) as raised:
            world.child("n1", saved=bad)
        assert raised.value.code == "sync.bad_state"


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


def test_a_peer_of_another_release_agrees_on_what_both_speak(monkeypatch: pytest.MonkeyPatch):
    world = World()
    world.parent().admit("n1", E1, TOKEN, 100.0)
    child = world.child("n1")
    monkeypatch.setattr(wire, "VERSION_MAX", 7)  # the child is newer
    hello = child.datagrams_to_send(0.0)[0][0]
    monkeypatch.undo()
    world.send("n1", "head", hello)
    world.run(2.0)
    assert world.took("head", Joined)
    assert all(datagram[1] == 1 for _, _, datagram in world.seen)


def test_no_version_in_common_is_said(monkeypatch: pytest.MonkeyPatch):
    world = World()
    world.parent().admit("n1", E1, TOKEN, 100.0)
    child = world.child("n1")
    monkeypatch.setattr(wire, "VERSION_MAX", 9)
    monkeypatch.setattr(wire, "VERSION_MIN", 8)
    child.datagrams_to_send(0.0)
    monkeypatch.undo()
    world.run(2.0)
    assert "no protocol version in common" in reasons(world) + reasons(world, "n1")


def test_bad_arguments_are_said():
    world = World()
    parent = world.parent()
    for call in (
        lambda: parent.admit("n1", E1, b"short", 1.0),
        lambda: parent.know("n1", E1, b"short"),
        lambda: parent.set_configured("", {}),
        lambda: Child("n1", E1, (), random_bytes=bytes, chance=world.random, token=TOKEN),
        lambda: world.child("n1", token=b"short"),
    ):
        with pytest.raises(KedgeError):
            call()


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
