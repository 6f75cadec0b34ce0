"""Records: versions, differences, merges, hashes, limits."""

from __future__ import annotations

import random

import pytest

from kedge.lib.errors import KedgeError
from kedge.sync import digest, wire
from kedge.sync.difference import Difference, Stamp, read
from kedge.sync.digest import KEPT_MAX_BYTES, TREE_FROM_ENTRIES
from kedge.sync.record import Incoming, Outcome, Outgoing
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch

E1 = Epoch(1, 1)


def written(*changes: dict[str, bytes | None]) -> Outgoing:
    out = Outgoing(E1)
    for change in changes:
        out.write(change)
    return out


def test_only_a_difference_makes_a_version():
    out = written({"a": b"1"})
    assert out.version == 1
    assert not out.write({"a": b"1"})
    assert not out.write({"never there": None})
    assert out.write({"a": None})
    assert out.version == 2


def test_a_difference_holds_what_changed_since_and_merges_to_the_same():
    out = written({"a": b"1", "b": b"1"}, {"b": b"2"})
    held = Incoming()
    assert held.apply(out.difference(0)) == (Outcome.APPLIED, {"a": b"1", "b": b"2"})
    out.write({"c": b"3"})
    out.write({"a": None})
    assert [name for name, _ in out.difference(2).entries] == ["a", "c"]
    assert held.apply(out.difference(2)) == (Outcome.APPLIED, {"a": None, "c": b"3"})
    assert held.stamp == out.stamp
    assert held.hash == out.hash
    assert held.tree_hash == out.tree_hash
    assert held.values() == {"b": b"2", "c": b"3"}


def test_the_tree_hash_follows_changes_as_if_it_were_made_anew():
    """Across the size from which leaves are kept, and after everything was replaced."""
    rng = random.Random(4)
    out, held = Outgoing(E1), Incoming()
    seen: set[bytes] = set()
    for turn in range(300):
        base = out.version
        if not out.write(
            {f"n{rng.randrange(1 + turn)}": rng.choice([None, b"", rng.randbytes(4)])}
        ):
            continue
        held.apply(out.difference(0 if turn % 50 == 0 else base))
        again = Outgoing(E1)
        again.restore(out.difference(0))
        assert held.tree_hash == out.tree_hash == again.tree_hash
        seen.add(out.tree_hash)
    assert len(out.entries) > TREE_FROM_ENTRIES
    assert len(seen) > 100


def test_one_change_in_a_large_record_costs_no_look_at_the_others():
    """Counted, not timed: a change among 20,000 entries hashes a bucket and the root."""
    out = Outgoing(E1)
    out.write({f"n{number}": b"v" * 500 for number in range(20_000)})
    whole = out.tree_hash
    with pytest.MonkeyPatch.context() as patch:
        said: list[int] = []
        hashed = digest._hash
        patch.setattr(digest, "_hash", lambda blob: said.append(len(blob)) or hashed(blob))
        out.write({"n7": b"w" * 500})
        assert out.tree_hash != whole
        assert len(said) == 3
        assert sum(said) < 10_000
    assert [name for name, _ in out.difference(1).entries] == ["n7"]


def test_what_is_older_or_builds_on_nothing_held_changes_nothing():
    out = written({"a": b"1"}, {"a": b"2"}, {"a": b"3"})
    held = Incoming()
    assert held.apply(out.difference(2))[0] is Outcome.GAP
    full = out.difference(0)
    held.apply(full)
    before = dict(held.entries)
    assert held.apply(full)[0] is Outcome.STALE
    assert held.apply(written({"a": b"old"}).difference(0))[0] is Outcome.STALE
    older, newer = Outgoing(Epoch(1, 0)), Outgoing(Epoch(1, 2))
    for each in (older, newer):
        each.write({"a": b"1"})
        each.outrun(99)
    assert held.apply(older.difference(0))[0] is Outcome.STALE
    assert held.entries == before
    assert held.apply(newer.difference(1))[0] is Outcome.GAP
    assert held.apply(newer.difference(0))[0] is Outcome.APPLIED


def test_a_doubt_is_mended_by_everything_at_the_same_version():
    out = written({"a": b"1"})
    held = Incoming()
    held.apply(out.difference(0))
    held.compare(out.stamp, out.hash)
    assert not held.doubtful
    held.compare(Stamp(E1, 2), bytes(16))
    assert not held.doubtful  # another version says nothing
    held.compare(out.stamp, bytes(16))
    assert held.doubtful
    assert held.apply(out.difference(0)) == (Outcome.APPLIED, {})
    assert not held.doubtful


def test_everything_drops_names_that_the_writer_does_not_know():
    held = Incoming()
    held.apply(written({"a": b"1", "b": b"1"}).difference(0))
    later = Outgoing(Epoch(2, 0))
    later.write({"b": b"1"})
    assert held.apply(later.difference(0)) == (Outcome.APPLIED, {"a": None})


def test_the_hash_covers_names_values_and_unknowns():
    states = [
        {},
        {"a": b""},
        {"a": None},
        {"b": b""},
        {"a": b"b"},
        {"ab": b""},
        {"a": b"", "b": b""},
    ]
    digests = set()
    for state in states:
        out = Outgoing(E1)
        out.write(dict.fromkeys(state, b"x"))
        out.write(state)
        digests.add(out.hash)
    assert len(digests) == len(states)


def test_limits_are_said_and_leave_the_record_as_it_was():
    out = written({"a": b"1"})
    for name, value, code in (
        ("b", bytes(wire.VALUE_MAX_BYTES + 1), "sync.value_too_large"),
        ("", b"", "sync.bad_name"),
        ("ä" * 200, b"", "sync.bad_name"),
    ):
        with pytest.raises(KedgeError) as raised:
            out.write({"z": b"1", name: value})
        assert raised.value.code == code
    with pytest.raises(KedgeError) as raised:
        out.write({f"n{i}": b"" for i in range(wire.LARGE.entries)})
    assert raised.value.code == "sync.record_too_large"
    assert (out.version, list(out.entries)) == (1, ["a"])


def test_hashes_follow_changes_as_if_they_were_made_anew():
    """Of small records, with values that are large, unknown or new, and after all was replaced."""
    rng = random.Random(3)
    out, held = Outgoing(E1), Incoming()
    values = [None, b"", b"1", bytes(300), bytes(KEPT_MAX_BYTES)]
    for turn in range(400):
        base = out.version
        if out.write({rng.choice("ebäacd"): rng.choice(values) for _ in range(2)}):
            held.apply(out.difference(0 if turn % 9 == 0 else base))
            again = Outgoing(E1)
            again.restore(out.difference(0))
            assert held.hash == out.hash == again.hash
            assert held.tree_hash == held.hash


def test_only_small_records_that_change_are_kept_ready_to_be_hashed():
    """Counted: most records of most nodes are written once, and would cost a parent their size again."""
    out = written({"a": b"1", "b": b"2"})
    assert out.hash and out._hashes._parts is None
    out.write({"a": b"3"})
    assert out.hash and set(out._hashes._parts or ()) == {"a", "b"}
    out.write({"a": bytes(KEPT_MAX_BYTES)})
    out.write({"c": b"new"})
    assert out.hash and out._hashes._parts is None


def test_a_received_record_comes_back_as_it_went():
    out = written({"a": b"1", "b": b""}, {"c": None, "a": None}, {"d": b"2"})
    for base in range(3):
        assert read(out.difference(base).message(), Epoch(9, 9)) == out.difference(base)
    message = out.difference(1).message()
    message.ClearField("epoch")
    said = read(message, Epoch(9, 9))
    assert said is not None and said.stamp == Stamp(Epoch(9, 9), 3)


def test_received_records_beyond_the_limits_are_not_taken():
    def record(**change: int) -> pb.Record:
        made = pb.Record(base=1, version=2)
        made.entries.add(name="a", version=2, value=b"")
        for name, value in change.items():
            setattr(made, name, value)
        return made

    def taken(made: pb.Record, limits: wire.Limits = wire.LARGE) -> Difference | None:
        return read(made, E1, limits)

    assert taken(record())
    assert not taken(record(version=0))
    assert not taken(record(base=2))
    assert not taken(record(version=2**63))
    assert not taken(record(), wire.Limits(0, 1000))
    for name, value in (
        ("version", 1), ("version", 3), ("name", ""), ("name", "ä" * 128),
        ("value", bytes(wire.VALUE_MAX_BYTES + 1)),
    ):  # fmt: skip
        bad = record()
        setattr(bad.entries[0], name, value)
        assert not taken(bad)
    bad = record()
    bad.epoch.term = 2**63
    assert not taken(bad)
