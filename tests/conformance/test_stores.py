"""What every store must do (`kedge.stores.port`), asked of each store there is."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand, fold
from kedge.stores import log
from kedge.stores.port import Conflict, Entry, LoggedEvent, Note, Store
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


def note(subject: str) -> Note:
    return Note("observed", subject, "off", "on", "bmc")


def entry(node: str, *subjects: str, at: float = 1.5) -> Entry:
    return Entry(at, tuple(expand(node)), tuple(map(note, subjects)))


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
    assert store.append([entry("n1", "a"), entry("n2", "b")]) == 2
    assert store.append([entry("n1", "c")]) == 3
    assert store.append([]) == 3
    assert [e.subject for e in store.events()] == ["a", "b", "c"]
    assert [e.seq for e in store.events()] == [1, 2, 3]
    assert store.events()[0] == LoggedEvent(1.5, "n1", *note("a"), 1)


def test_an_entry_speaks_of_many_nodes_and_each_of_its_notes_has_a_number(store: Store) -> None:
    assert store.append([entry("n[1-3]", "a", "b"), entry("", "c"), entry("n2", "d")]) == 4
    assert [(e.seq, e.nodes, e.subject) for e in store.events()] == [
        (1, "n[1-3]", "a"), (2, "n[1-3]", "b"), (3, "", "c"), (4, "n2", "d"),
    ]  # fmt: skip
    assert [e.seq for e in store.events(after=1, limit=2)] == [2, 3]
    assert [e.seq for e in store.events(limit=3)] == [2, 3, 4]


def test_an_event_names_only_the_nodes_that_were_asked_for(store: Store) -> None:
    store.append([entry("n[1-3]", "a"), entry("", "b"), entry("n[2-4]", "c")])
    named = [(e.nodes, e.subject) for e in store.events(nodes=["n3", "n4", "n9"])]
    assert named == [("n3", "a"), ("n[3-4]", "c")]
    assert store.events(nodes=["n9"]) == []


def test_the_log_is_read_by_node_from_the_end_and_from_a_place(store: Store) -> None:
    store.append(entry(f"n{number % 3}", str(number)) for number in range(30))
    assert [e.subject for e in store.events(limit=2)] == ["28", "29"]
    assert [e.subject for e in store.events(nodes=["n1"], limit=2)] == ["25", "28"]
    assert [e.subject for e in store.events(after=10, limit=2)] == ["10", "11"]
    assert [e.subject for e in store.events(nodes=["n0", "n2"], after=25)] == ["26", "27", "29"]


def test_what_devices_say_need_not_be_unicode(store: Store) -> None:
    store.append([Entry(0.0, ("n1",), (Note("refused", "x", cause="a \ud800 \0 b"),))])
    assert store.events()[0].cause == "a ? \0 b"


def test_what_fails_in_the_middle_is_not_written_at_all(store: Store) -> None:
    def entries() -> Iterator[Entry]:
        yield entry("n[1-2]", "a")
        raise RuntimeError

    store.append([entry("n0", "before")])
    with pytest.raises(RuntimeError):
        store.append(entries())
    assert store.append([entry("n[1-3]", "a")]) == 2
    assert [(e.nodes, e.subject) for e in store.events()] == [("n0", "before"), ("n[1-3]", "a")]


def test_the_oldest_is_deleted_a_part_at_a_time_and_numbers_go_on(store: Store) -> None:
    assert not store.trim(1e9, 0)
    for day in range(20):
        store.append(entry(f"n[{n}-{n + 1}]", f"{day}.{n}", at=float(day)) for n in range(1000))
    assert not store.trim(0.0, 10**12)
    steps = 0
    while store.trim(10.0, 10**12):
        steps += 1
        kept = store.events(limit=10_000_000)
        assert [e.seq for e in kept] == list(range(kept[0].seq, 20_001))
        assert kept[0].seq > 1 and kept[-1].seq == 20_000
        assert [e.seq for e in store.events(nodes=["n500"], limit=10_000_000)] == [
            e.seq for e in kept if e.subject.partition(".")[2] in ("499", "500")
        ]
    assert steps > 1
    assert any(e.at < 11.0 for e in kept)
    assert all(e.at > 5.0 for e in kept)
    while store.trim(0.0, 1000):
        pass
    assert len(store.events(limit=10_000_000)) < 10_000
    assert store.append([entry("n1", "last")]) == 20_001


NODES = st.frozensets(st.sampled_from([f"n{n:02}" for n in range(12)]), max_size=12)
MANY = st.integers(0, 3000).map(lambda n: frozenset(f"m{i}" for i in range(n % 7, n)))
ENTRIES = st.lists(
    st.tuples(
        NODES | NODES | NODES | MANY, st.lists(st.sampled_from("abc"), min_size=1, max_size=3)
    ),
    max_size=25,
)
ASKED = st.tuples(
    NODES | st.just(frozenset({"m5", "m900", "m1500"})), st.integers(0, 60), st.integers(1, 30)
)


@given(st.lists(ENTRIES, max_size=4), st.lists(ASKED, min_size=1, max_size=5))
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_log_is_a_list(
    tmp_path_factory: pytest.TempPathFactory,
    small_chapters: None,
    batches: list[list[tuple[frozenset[str], list[str]]]],
    asked: list[tuple[frozenset[str], int, int]],
) -> None:
    """Any entries, read again in any way, also by another process, are what a plain list gives."""
    path = tmp_path_factory.mktemp("log") / "kedge.db"
    model: list[tuple[frozenset[str], LoggedEvent]] = []
    store = SqliteStore(path)
    for batch in batches:
        entries = [
            Entry(float(len(model)), tuple(nodes), tuple(map(note, subjects)))
            for nodes, subjects in batch
        ]
        for one in entries:
            for said in one.notes:
                event = LoggedEvent(one.at, fold(one.nodes), *said, len(model) + 1)
                model.append((frozenset(one.nodes), event))
        assert store.append(entries) == len(model)
    again = SqliteStore(path)
    for nodes, after, limit in asked:
        expected = [
            replace(event, nodes=fold(spoken_of & nodes)) if nodes else event
            for spoken_of, event in model
            if event.seq > after and (not nodes or spoken_of & nodes)
        ]
        cut = expected[:limit] if after else expected[-limit:]
        for one in (store, again):
            assert one.events(nodes=nodes, after=after, limit=limit) == cut
    again.close()
    store.close()


@pytest.fixture
def small_chapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chapters of a few entries, so that short lists already fill several."""
    monkeypatch.setattr(log, "CHAPTER_ENTRIES", 7)
    monkeypatch.setattr(log, "CHAPTER_MENTIONS", 60)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "kedge.db"
    store = SqliteStore(path)
    store.append([entry("n1", "a")])
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
        from kedge.stores import log
        from kedge.stores.port import Entry, Note
        from kedge.stores.sqlite import SqliteStore
        log.CHAPTER_ENTRIES = 10
        nodes = tuple(f"n{{n}}" for n in range(2000))
        store = SqliteStore({str(path)!r})
        for number in itertools.count(1):
            store.put("permit", "n1", {{"counter": number}})
            text = str(number)
            said = [((text,), "one"), (nodes, "all"), ((), "head")]
            store.append(Entry(0.0, names, (Note(what, text), Note(what, "a"))) for names, what in said)
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
    found = store.events(limit=100_000)
    assert [e.seq for e in found] == list(range(1, len(found) + 1))
    numbers = [int(e.subject) for e in found if e.subject != "a"]
    assert numbers == [n // 3 + 1 for n in range(len(numbers))]
    assert len(found) in (told * 6, told * 6 + 6)
    assert len(store.events(nodes=["n7"], limit=100_000)) == len(found) // 3
    assert [e.what for e in store.events(nodes=[str(told)])] == ["one", "one"]
    store.close()


def test_whatever_is_committed_is_what_is_read_also_by_two_writers(store: Store) -> None:
    chance = random.Random(3)
    mine = store.intent()
    for number in range(60):
        overrides = {n: dict(e) for n, e in mine.overrides.items()}
        for node in chance.sample(range(8), 2):
            if chance.random() < 0.3:
                overrides.pop(f"n{node}", None)
            else:
                overrides.setdefault(f"n{node}", {})["a"] = {"value": chance.randint(0, 3)}
        more = {"holds": {"n1": {"reason": str(number)}}} if chance.random() < 0.3 else {}
        wanted = replace(mine, overrides=overrides, **more)
        mine = store.commit(wanted, number)
        assert store.intent() == mine == replace(wanted, revision=number + 1)
