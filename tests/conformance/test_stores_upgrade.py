"""A database of an older version is taken over whole, also by a process that is killed meanwhile."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from kedge.stores import upgrade
from kedge.stores.log import SCHEMA as LOG_SCHEMA
from kedge.stores.port import Entry, Intent, LoggedEvent, Note
from kedge.stores.sqlite import SqliteStore

VERSION_1 = Path(__file__).parent / "fixtures/version-1.sql"
VERSION_2 = f"""
CREATE TABLE intent (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL, files TEXT NOT NULL, overrides TEXT NOT NULL, holds TEXT NOT NULL
);
INSERT INTO intent VALUES (1, 7, '{{}}',
    '{{"n1": {{"release.wanted": {{"value": "B"}}}}, "\u00fc": {{}}}}', '{{"n3": {{"reason": "fan"}}}}');
CREATE TABLE record (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
{LOG_SCHEMA}
PRAGMA user_version = 2;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "kedge.db"
    db = sqlite3.connect(path)
    db.executescript(VERSION_1.read_text())
    db.close()
    return path


def expected() -> list[LoggedEvent]:
    found = [LoggedEvent(100.0, "", "master", "start", cause="term 1", seq=1)]
    for number in range(12):
        node = f"n{number % 2 + 1}"
        change = ("observed", "power.state", "off", "on", "bmc")
        found.append(LoggedEvent(101.0 + number // 2, node, *change, number + 2))
    return [*found, LoggedEvent(200.0, "n1", "refused", "boot", cause="it's “odd”\n", seq=14)]


def test_all_of_version_1_is_there_and_the_log_goes_on(old: Path) -> None:
    store = SqliteStore(old)
    assert store.events() == expected()
    assert [e.seq for e in store.events(nodes=["n2"], limit=3)] == [9, 11, 13]
    assert store.intent().files == {"cluster.yaml": "cluster: {name: lab}\n"}
    assert store.intent().revision == 1
    assert store.intent().holds["n2"]["reason"] == "fan"
    assert store.records("permit") == {"n1": {"term": 1}}
    assert store.append([Entry(1.0, ("n1",), (Note("a", "b"),))]) == 15
    store.close()
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in old.parent.glob("*-wal")} <= {0}
    again = SqliteStore(old)
    assert again.events()[:-1] == expected()
    again.close()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("moved", range(5))
def test_an_upgrade_that_was_killed_goes_on(
    old: Path, monkeypatch: pytest.MonkeyPatch, moved: int, late: bool
) -> None:
    monkeypatch.setattr(upgrade, "ROWS", 3)
    real, calls = SqliteStore.append, 0

    def dying(self: SqliteStore, entries: Iterable[Entry]) -> int:
        nonlocal calls
        calls += 1
        if calls <= moved:
            return real(self, entries)
        if late:
            real(self, entries)
        raise KeyboardInterrupt

    monkeypatch.setattr(SqliteStore, "append", dying)
    with pytest.raises(KeyboardInterrupt):
        SqliteStore(old)
    monkeypatch.setattr(SqliteStore, "append", real)
    store = SqliteStore(old)
    assert store.events() == expected()
    store.close()


def test_overrides_of_version_2_are_there(tmp_path: Path) -> None:
    path = tmp_path / "kedge.db"
    db = sqlite3.connect(path)
    db.executescript(VERSION_2)
    db.close()
    store = SqliteStore(path)
    found = store.intent()
    assert found.revision == 7 and found.holds == {"n3": {"reason": "fan"}}
    assert found.overrides == {"n1": {"release.wanted": {"value": "B"}}, "ü": {}}
    assert store.commit(found, 7).revision == 8
    store.close()
    assert SqliteStore(path).intent().overrides == found.overrides


def test_a_commit_writes_only_what_changed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "kedge.db")
    overrides = {f"n{number}": {"release.wanted": {"value": "A"}} for number in range(5000)}
    first = store.commit(Intent(files={"cluster.yaml": "x" * 100_000}, overrides=overrides), 0)
    database = store._db  # pyright: ignore[reportPrivateUsage]
    before = database.total_changes
    moved = {**overrides, "n7": {"release.wanted": {"value": "B"}}}
    del moved["n9"]
    store.commit(replace(first, overrides=moved), 1)
    assert database.total_changes - before == 3
    another = SqliteStore(tmp_path / "kedge.db")
    assert another.intent().overrides == moved
    third = another.commit(replace(another.intent(), overrides={}), 2)
    assert store.commit(replace(third, overrides={"n1": {}}), 3).revision == 4
    assert another.intent().overrides == {"n1": {}}
    another.close()
    store.close()
