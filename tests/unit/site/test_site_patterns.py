"""Patterns in texts."""

from __future__ import annotations

import pytest

from kedge.core.kinds import Value
from kedge.site.patterns import Pattern, PatternProblem, compile_text, expand, number_of

NAMES: dict[str, Value] = {"rack": 3, "name": "n007", "number": 7, "word": "x", "text": "12"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10.77.{rack}.{number}", "10.77.3.7"),
        ("10.78.0.{number+10}", "10.78.0.17"),
        ("r{number//40+1}-{number%40}", "r1-7"),
        ("{(number+1)*2-rack}", "13"),
        ("{number - 1 - 1}", "5"),
        ("{2+3*4}", "14"),
        ("node{number:03}", "node007"),
        ("{number+1:04d}", "0008"),
        ("{name}.{word}", "n007.x"),
        ("{text+1}", "13"),
        ("{{not a pattern}}", "{not a pattern}"),
        ("{{{rack}}}", "{3}"),
        ("no braces", "no braces"),
    ],
)
def test_expansion(text: str, value: str) -> None:
    assert expand(compile_text(text), NAMES) == value


def test_a_single_expression_keeps_its_number_where_no_text_is_wanted() -> None:
    assert expand(compile_text("{number//4+1}", as_text=False), NAMES) == 2
    assert expand(compile_text("{number//4+1} ", as_text=False), NAMES) == "2 "


@pytest.mark.parametrize(
    "text",
    [
        "{", "}", "a{b", "{}", "{ }", "{a b}", "{a+}", "{+a}", "{(a}", "{a)}", "{a.b}", "{a[0]}",
        "{1a}", "{a**2}", "{a/2}", "{a!r}", "{a:x}", "{__import__('os')}", "{" + "(" * 300 + "}",
    ],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(PatternProblem):
        compile_text(text)


@pytest.mark.parametrize("text", ["{number//0}", "{number%(rack-3)}", "{word+1}", "{name*2}"])
def test_what_cannot_be_computed_is_refused(text: str) -> None:
    with pytest.raises(PatternProblem):
        expand(compile_text(text), NAMES)


def test_numbers_do_not_grow_without_bound() -> None:
    with pytest.raises(PatternProblem, match="too large"):
        expand(compile_text("{" + "*".join(["999999999"] * 15) + "}"), NAMES)


def test_names_are_known_before_expansion() -> None:
    pattern = compile_text("{rack}{number+index}")
    assert isinstance(pattern, Pattern)
    assert pattern.names == {"rack", "number", "index"}


@pytest.mark.parametrize(("node", "number"), [("n007", 7), ("r2n12", 12), ("login", None)])
def test_the_number_of_a_node_is_the_last_in_its_name(node: str, number: int | None) -> None:
    assert number_of(node) == number
