"""Joining, being configured, being refused: a parent and a child on a link that works."""

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
    Lost,
    SessionUp,
)
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch
from unit.sync.sync_world import TOKEN, World, joined_world, reasons

E1, E2 = Epoch(1, 1), Epoch(1, 2)


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
