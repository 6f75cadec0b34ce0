"""What is passed on between the master and sub-masters below others: names, bounds, secrets."""

from __future__ import annotations

import pytest

from kedge.lib.errors import KedgeError
from kedge.master.tree.master.ways import Ways
from kedge.master.tree.passing import (
    Admission,
    PassingDown,
    PassingUp,
    Standing,
    apart,
    before,
    read,
    written,
)


def test_an_entry_of_each_level_is_found_again() -> None:
    assert before(("mid",)) == "" and before(("mid", "low", "deep")) == "below/low/below/deep/"
    came = apart({"lease": b"1", "child/low": b"2", "below/low/below/deep/lease": b"3"})
    assert came.own == {"lease": b"1"} and came.children == {"low": b"2"}
    assert came.below == {"low": {"below/deep/lease": b"3"}}
    assert apart(came.below["low"]).below == {"deep": {"lease": b"3"}}
    assert apart({"below/": b"", "below/x": b"", "below//y": b"", "below/x/": b""}).below == {}


def test_what_is_read_is_what_was_written_and_keys_are_not_shown() -> None:
    admission = Admission(3, 4, token=b"t" * 32, until=9.5)
    standing = Standing(True, 3, 4, b"k" * 32, "10.0.0.1", "")
    assert read(written(admission), Admission) == admission
    assert read(written(standing), Standing) == standing
    assert "t" * 32 not in repr(admission) and "k" * 32 not in repr(standing)
    for raw in (None, b"\xc1", written(Admission()), b"\x01"):
        assert read(raw, Standing) is None


def test_a_new_child_is_told_all_and_another_one_nothing() -> None:
    down = PassingDown()
    entries = {"child/low": b"a", "below/low/common": b"1", "below/other/common": b"2"}
    assert down.take(entries, {"child/low": b"a"}) == {"low": {"common": b"1"}}
    assert down.take(entries, {"below/other/common": b"3"}) == {}
    assert down.take(entries, {"below/low/common": None}) == {"low": {"common": None}}
    assert down.take({}, {"child/low": None, "below/low/lease": b"5"}) == {} and not down.listed


def test_one_that_joins_anew_voids_what_the_former_told_in_the_same_change() -> None:
    up = PassingUp()
    assert up.told("low", {"lease": b"1"}) == {}, "the master did not put it below this one"
    up.list("low", Standing(False))
    assert up.told("low", {"lease": b"7"}) == {"below/low/lease": b"7"}
    changes = up.joined("low", Standing(True, 1, 2, b"k" * 32))
    assert changes["below/low/lease"] is None and changes["child/low"] is not None
    assert up.drop("low") == {"below/low/lease": None, "child/low": None}
    assert up.drop("low") == {} and up.stands("low", Standing(True)) == {}


def test_what_has_no_room_is_unknown_above_and_counted() -> None:
    up = PassingUp(most_entries=3, most_bytes=100)
    up.list("low", Standing(True))
    assert up.told("low", {"a": b"1", "x" * 250: b"1"}) == {"below/low/a": b"1"}
    assert up.refused == {"low": 1}
    assert up.told("low", {"a": b"1" * 100}) == {"below/low/a": None}, "not what it said before"
    assert up.told("low", {"a": b"2", "b": b"2"}) == {"below/low/a": b"2", "below/low/b": b"2"}
    assert up.told("low", {"c": b"3", "d": b"4"}) == {"below/low/c": b"3"}
    assert up.refused == {"low": 2}
    up.joined("low", Standing(True))
    assert up.refused == {}
    assert up.told("low", {"a": b"1" * 60}) == {"below/low/a": b"1" * 60}, "there is room again"


def test_circles_depth_and_long_names_are_refused() -> None:
    ways = Ways({"b": "a", "c": "b", "d": "c"}.items())
    assert ways.way("d") == ("a", "b", "c", "d") and ways.all_below("b") == ["c", "d"]
    ways.check("e", "c")
    for name, below, code in (("a", "a", "circle"), ("a", "d", "circle"), ("e", "d", "depth")):
        with pytest.raises(KedgeError) as caught:
            ways.check(name, below)
        assert caught.value.code == f"submaster.{code}"
    deep = Ways({"y" * 63: "x"}.items())
    with pytest.raises(KedgeError, match="too long together"):
        deep.check("z" * 63, "y" * 63)
    assert Ways({"a": "b", "b": "a"}.items()).way("a"), (
        "a store that was written by hand ends nothing"
    )
