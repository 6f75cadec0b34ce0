"""A head whose disk is full keeps what it could not write, says so, and writes it later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kedge.lib.errors import KedgeError
from kedge.master.persistence import journal as journals
from kedge.master.persistence import late_writes
from kedge.master.persistence.journal import Journal
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process.clock import Clock
from kedge.master.tree.master.ledger import Ledger
from kedge.stores.sqlite import SqliteStore


class FullStore(SqliteStore):
    """A store whose disk is full for as long as it is said to be."""

    full = False

    def append(self, entries: Any) -> int:
        self.look()
        return super().append(entries)

    def put(self, kind: str, key: str, record: Any) -> None:
        self.look()
        super().put(kind, key, record)

    def look(self) -> None:
        if self.full:
            raise KedgeError("store.failed", "the cluster database cannot be written")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "AGAIN_S", 0.02)
    monkeypatch.setattr(late_writes, "AGAIN_S", 0.02)


async def test_the_log_is_kept_and_written_when_there_is_room() -> None:
    store, failing = FullStore(":memory:"), dict[str, str]()
    journal = Journal(store, Clock(), failing)
    journal.write("n1", "test", "one")
    journal.flush()
    store.full = True
    journal.write("n1", "test", "two")
    journal.flush()
    journal.write("n2", "test", "three")
    await asyncio.sleep(0.05)
    assert "cannot be written" in failing["log"]
    store.full = False
    await asyncio.sleep(0.05)
    assert failing == {}
    assert [event.subject for event in store.events()] == ["one", "two", "three"]
    journal.close()


async def test_of_too_much_that_cannot_be_written_the_oldest_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journals, "MOST_UNWRITTEN", 3)
    store, failing = FullStore(":memory:"), dict[str, str]()
    journal = Journal(store, Clock(), failing)
    store.full = True
    for number in range(8):
        journal.write("", "test", str(number))
        journal.flush()
    assert "5 of its oldest entries are lost" in failing["log"]
    store.full = False
    journal.close()
    assert [event.subject for event in store.events()] == ["5", "6", "7"]


async def test_records_are_written_late_the_newest_alone() -> None:
    store, failing = FullStore(":memory:"), dict[str, str]()
    writes = LateWrites(store, failing)
    store.full = True
    writes.put("key", "n1", {"a": 1})
    writes.put("key", "n1", {"a": 2})
    writes.put("key", "n2", {"a": 3})
    writes.put("key", "n2", None)
    with pytest.raises(KedgeError):
        writes.put_now("key", "n3", {"a": 4})
    assert "cannot be written" in failing["database"]
    store.full = False
    writes.put_now("key", "n2", {"a": 5})
    await asyncio.sleep(0.05)
    assert failing == {}
    assert store.records("key") == {"n1": {"a": 2}, "n2": {"a": 5}}


async def test_a_ledger_of_shares_is_said_once_to_be_late_and_shown_until_it_is_written() -> None:
    store, said = FullStore(":memory:"), FullStore(":memory:")
    journal = Journal(said, Clock(), {})
    ledger = Ledger(store, journal)
    assert ledger.write("power rack1", {"sm1": (2, 1)}) and ledger.failing == {}
    store.full = True
    assert ledger.write("power rack1", {"sm1": (2, 1)}), "there is nothing to write"
    for _ in range(3):
        assert not ledger.write("power rack1", {"sm1": (3, 1)})
        assert not ledger.write("power rack2", {"sm1": (3, 1)})
    (words,) = ledger.failing.values()
    assert "power rack1, power rack2" in words and "cannot be written" in words

    store.full = False
    assert ledger.write("power rack1", {"sm1": (3, 1)}) and "rack2" in str(ledger.failing)
    assert ledger.write("power rack2", {"sm1": (3, 1)}) and ledger.failing == {}
    assert Ledger(store, journal).written["power rack1"] == {"sm1": [3, 1]}
    journal.flush()
    assert [event.after for event in said.events()] == ["not written", "written"]
    journal.close()
