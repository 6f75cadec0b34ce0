"""The bytes of every released version are kept: today's code makes and understands them.

``join-v1.json`` was recorded with all randomness fixed, before there were features; ``join-v1-f3.json``
with both ends offering features 1 and 2. When a version's bytes must change, the version or the features
must: add a file, never edit one. ``python tests/unit/sync/test_sync_fixtures.py`` prints today's.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from kedge.sync.child import Child, ChildOptions
from kedge.sync.door import ParentOptions
from kedge.sync.events import Configured, ConfiguredAcked, Discovered, Joined
from kedge.sync.handshake import FEATURES
from kedge.sync.parent import Parent
from kedge.sync.wire import Epoch

FIXTURES = Path(__file__).parent / "fixtures"


class Half:
    """A chance that is always even."""

    def random(self) -> float:
        return 0.5


def numbered(start: int):
    """Bytes that differ at every call and are the same in every run."""
    numbers = count(start)
    return lambda length: (next(numbers).to_bytes(2, "big") * length)[:length]


def recorded(features: int = FEATURES) -> dict[str, Any]:
    """A join, a configuration of three parts, a report, a heartbeat: who sent what, in hex."""
    parent = Parent(incarnation=Epoch(3, 7), random_bytes=numbered(1000), chance=Half(),
                    options=ParentOptions(features=features))  # fmt: skip
    token = bytes(range(32))
    parent.admit("n001", Epoch(3, 42), token, 100.0)
    parent.set_configured("n001", {"node": b'{"name":"n001"}', "files": b"f" * 2000})
    child = Child("n001", Epoch(3, 42), ["head"], token=token,
                  random_bytes=numbered(1), chance=Half(),
                  options=ChildOptions(features=features))  # fmt: skip
    child.set_discovered("boot.stage", b'"layer0"')
    child.set_discovered("progress", b"0.5")
    child.set_discovered("progress", None)
    sent: list[tuple[str, str]] = []
    events: list[Any] = []
    for now in (0.0, 0.1, 0.2, 0.3, 0.4, 11.0, 11.1):
        if now == 0.4:
            child.set_discovered("boot.stage", b'"running"')
        for datagram, _ in child.datagrams_to_send(now):
            sent.append(("up", datagram.hex()))
            parent.receive_datagram(datagram, "n001", now)
        while (event := parent.next_event()) is not None:
            events.append(event)
        for datagram, _ in parent.datagrams_to_send(now):
            sent.append(("down", datagram.hex()))
            child.receive_datagram(datagram, "head", now)
        while (event := child.next_event()) is not None:
            events.append(event)
    for kind in (Joined, Configured, Discovered, ConfiguredAcked):
        assert any(isinstance(event, kind) for event in events)
    assert child.configured["files"] == b"f" * 2000
    assert parent.discovered("n001") == {"boot.stage": b'"running"'}
    return {"version": 1, "sent": sent, "saved": child.export().hex()}


@pytest.mark.parametrize(("fixture", "features"), [("join-v1", 0), ("join-v1-f3", 3)])
def test_todays_code_speaks_every_kept_version_byte_by_byte(fixture: str, features: int):
    kept = json.loads((FIXTURES / f"{fixture}.json").read_text())
    now = recorded(features)
    for place, (was, is_) in enumerate(zip(kept["sent"], now["sent"], strict=True)):
        assert list(is_) == was, f"datagram {place} differs"
    assert now["saved"] == kept["saved"]


@pytest.mark.parametrize("fixture", sorted(path.name for path in FIXTURES.glob("join-*.json")))
def test_todays_parent_understands_the_children_of_every_version(fixture: str):
    kept = json.loads((FIXTURES / fixture).read_text())
    parent = Parent(incarnation=Epoch(3, 7), random_bytes=numbered(1000), chance=Half())
    parent.admit("n001", Epoch(3, 42), bytes(range(32)), 100.0)
    parent.set_configured("n001", {"node": b'{"name":"n001"}', "files": b"f" * 2000})
    for way, datagram in kept["sent"]:
        if way == "up":
            parent.receive_datagram(bytes.fromhex(datagram), "n001", 0.0)
    assert parent.discovered("n001") == {"boot.stage": b'"running"'}
    saved = Child.restore(bytes.fromhex(kept["saved"]), ["head"], random_bytes=numbered(1),
                          chance=Half())  # fmt: skip
    assert saved.discovered == {"boot.stage": b'"running"'}
    assert saved.configured["files"] == b"f" * 2000


if __name__ == "__main__":
    print(json.dumps(recorded(), indent=1))
