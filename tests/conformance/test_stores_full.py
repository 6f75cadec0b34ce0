"""A store on a full disk: an error of the world, nothing lost that was written, and on it goes with room."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.lib.errors import NotNow
from kedge.stores.port import Entry, Intent, Note
from kedge.stores.sqlite import SqliteStore


def entry(number: int) -> Entry:
    return Entry(float(number), (f"n{number}",), (Note("test", "x" * 400, str(number)),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "kedge.db")
    yield store
    store.close()


def set_room(store: SqliteStore, pages: int) -> None:
    """SQLite itself says that the disk is full when its file may not grow."""
    db: sqlite3.Connection = store._db  # pyright: ignore[reportPrivateUsage]
    db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_told_and_harms_nothing(store: SqliteStore) -> None:
    store.commit(Intent(files={"a.yaml": "x"}), 0)
    store.append([entry(1)])
    store.put("kind", "key", {"a": 1})
    set_room(store, 1)
    big = "y" * 100_000
    for write in (
        lambda: store.commit(Intent(files={"a.yaml": big}), 1),
        lambda: store.put("kind", "other", {"a": big}),
        lambda: store.append([entry(number) for number in range(2, 2000)]),
    ):
        with pytest.raises(NotNow) as caught:  # no node is to blame: what needs it is tried again
            write()
        assert caught.value.code == "store.failed"
        assert "full" in caught.value.why
    assert store.intent().files == {"a.yaml": "x"}
    assert store.records("kind") == {"key": {"a": 1}}
    assert [event.before for event in store.events()] == ["1"]
    set_room(store, 100_000)
    store.append([entry(2)])
    store.put("kind", "other", {"a": 2})
    assert [event.before for event in store.events()] == ["1", "2"]
    assert store.commit(Intent(files={"a.yaml": big}), 1).revision == 2
