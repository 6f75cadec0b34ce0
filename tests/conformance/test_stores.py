"""What every store must do (`kedge.stores.port`), asked of each store there is."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kedge.lib.errors import KedgeError
from kedge.stores.port import Conflict, LoggedEvent, Store
from kedge.stores.sqlite import SqliteStore


@pytest.fixture(params=["sqlite file", "sqlite memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    stores: dict[str, Callable[[], Store]] = {
        "sqlite file": lambda: SqliteStore(tmp_path / "kedge.db"),
        "sqlite memory": lambda: SqliteStore(":memory:"),
    }
    opened = stores[request.param]()
    yield opened
    opened.close()


def event(node: str, subject: str) -> LoggedEvent:
    return LoggedEvent(1.5, node, "observed", subject, "off", "on", "bmc")


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.intent().revision == 0
    assert store.intent().files == {}
    assert store.records("permit") == {}
    assert store.events() == []


def test_intent_is_kept_whole_and_counted(store: Store) -> None:
    wanted = replace(
        store.intent(),
        files={"cluster.yaml": "cluster: {name: ü}\n"},
        overrides={"n1": {"power.state": {"value": "off", "by": "a", "at": "t"}}},
        holds={"n2": {"reason": "fan", "by": "a", "at": "t"}},
    )
    committed = store.commit(wanted, 0)
    assert committed.revision == 1
    assert store.intent() == committed == replace(wanted, revision=1)


def test_the_second_of_two_writers_is_refused_and_changes_nothing(store: Store) -> None:
    first = store.commit(replace(store.intent(), files={"a.yaml": "1"}), 0)
    with pytest.raises(Conflict) as refused:
        store.commit(replace(store.intent(), files={"a.yaml": "2"}), 0)
    assert "revision 0" in str(refused.value) and "at 1" in str(refused.value)
    assert store.intent() == first
    assert store.commit(replace(first, files={"a.yaml": "3"}), 1).revision == 2


def test_records_are_set_replaced_and_removed(store: Store) -> None:
    store.put("permit", "n1", {"term": 1})
    store.put("permit", "n2", {"term": 2, "given": True})
    store.put("node_key", "n1", {"key": "x"})
    store.put("permit", "n1", {"term": 3})
    assert store.records("permit") == {"n1": {"term": 3}, "n2": {"term": 2, "given": True}}
    store.put("permit", "n1", None)
    store.put("permit", "never there", None)
    assert set(store.records("permit")) == {"n2"}
    assert set(store.records("node_key")) == {"n1"}


def test_the_log_only_grows_and_is_read_in_order(store: Store) -> None:
    assert store.append([event("n1", "a"), event("n2", "b")]) == 2
    assert store.append([event("n1", "c")]) == 3
    assert [e.subject for e in store.events()] == ["a", "b", "c"]
    assert [e.seq for e in store.events()] == [1, 2, 3]
    assert store.events()[0] == replace(event("n1", "a"), seq=1)


def test_the_log_is_read_by_node_from_the_end_and_from_a_place(store: Store) -> None:
    store.append(event(f"n{number % 3}", str(number)) for number in range(30))
    assert [e.subject for e in store.events(limit=2)] == ["28", "29"]
    assert [e.subject for e in store.events(nodes=["n1"], limit=2)] == ["25", "28"]
    assert [e.subject for e in store.events(after=10, limit=2)] == ["10", "11"]
    assert [e.subject for e in store.events(nodes=["n0", "n2"], after=25)] == ["26", "27", "29"]


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "kedge.db"
    store = SqliteStore(path)
    store.append([event("n1", "a")])
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    store.close()


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "kedge.db"
    SqliteStore(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(KedgeError) as refused:
        SqliteStore(path)
    assert refused.value.code == "store.version"


def test_what_was_written_outlives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "kedge.db"
    writer = textwrap.dedent(
        f"""
        import itertools
        from kedge.stores.port import LoggedEvent
        from kedge.stores.sqlite import SqliteStore
        store = SqliteStore({str(path)!r})
        for number in itertools.count(1):
            store.put("permit", "n1", {{"counter": number}})
            store.append([LoggedEvent(0.0, "n1", "x", str(number))])
            print(number, flush=True)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = 0
    try:
        while told < 50:
            told = int(child.stdout.readline())
    finally:
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split()
        child.wait()
    told = int(rest[-1]) if rest else told
    store = SqliteStore(path)
    assert store.records("permit")["n1"]["counter"] in (told, told + 1)
    subjects = [int(e.subject) for e in store.events(limit=100_000)]
    assert subjects == list(range(1, len(subjects) + 1))
    assert len(subjects) in (told, told + 1)
    store.close()
