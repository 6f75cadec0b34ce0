"""Patterns against Python's own arithmetic, precedence against a naive reading of its rule."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kedge.core.kinds import Enum, Integer, Struct, Text
from kedge.core.variable import Variable
from kedge.site.loading import load
from kedge.site.patterns import PatternProblem, compile_text, expand

QUICK = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES: dict[str, Any] = {"a": 7, "rack": 3, "number": 41}
EXPRESSIONS = st.recursive(
    st.one_of(st.integers(0, 999).map(str), st.sampled_from(sorted(NAMES))),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(("+", "-", "*", "//", "%")), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, st.text(alphabet="xyz.-", max_size=5))
@QUICK
def test_patterns_count_as_python_does(source: str, around: str) -> None:
    try:
        wanted: object = eval(source, {"__builtins__": {}}, NAMES)
    except ZeroDivisionError:
        wanted = None
    try:
        template = compile_text(f"{around}{{{source}}}{around}")
        found: object = expand(template, NAMES)
    except PatternProblem:
        assert wanted is None or len(source) > 200 or abs(int(str(wanted))) >= 10**15
        return
    assert found == f"{around}{wanted}{around}"


@given(st.text())
@QUICK
def test_a_text_without_braces_is_itself_and_doubled_braces_are_plain(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert expand(compile_text(doubled), {}) == text


@given(st.text(alphabet="{}ab1+-*/%() :.", max_size=30))
@QUICK
def test_patterns_raise_nothing_else(text: str) -> None:
    try:
        expand(compile_text(text), {"a": 1, "b": "x", "ab": 2, "ba": None})
    except (PatternProblem, KeyError) as error:
        assert not isinstance(error, KeyError) or error.args[0] not in ("a", "b", "ab", "ba")


PAIR = Struct({"x": Text(), "y": Text()})
VARIABLES = {
    variable.name: variable
    for variable in (
        Variable("m.text", Text(), configured=True),
        Variable("m.count", Integer(0, 99), configured=True),
        Variable("m.pair", PAIR, configured=True),
        Variable("m.state", Enum(("p", "q")), configured=True),
    )
}
LETTERS = st.sampled_from("abcdef")
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "m.text": LETTERS,
        "m.count": st.integers(0, 99),
        "m.state": st.sampled_from("pq"),
        "m.pair": st.fixed_dictionaries({}, optional={"x": LETTERS, "y": LETTERS}).filter(bool),
    },
)
PROFILES = ("p0", "p1", "p2", "p3")
SOME = st.lists(st.sampled_from(PROFILES), unique=True, max_size=3)
NODES = [f"n{i}" for i in range(1, 6)]


def merged(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """The rule, read naively: later layers win, mappings key by key."""
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            result[name] = {**result.get(name, {}), **value} if isinstance(value, dict) else value
    return result


@given(
    base=VALUES,
    profiles=st.tuples(VALUES, VALUES, VALUES, VALUES),
    extends=st.tuples(*[st.lists(st.sampled_from(PROFILES[:i] or PROFILES), unique=True, max_size=2)
                        for i in range(4)]),
    group=VALUES,
    used=SOME,
    entries=st.dictionaries(st.sampled_from(("n[1-3]", "n[2-5]", "n3", "n[3-4]", "n[1-5]", "n1")),
                            st.tuples(VALUES, st.none() | SOME)),
)  # fmt: skip
@QUICK
def test_precedence_is_what_its_rule_says(
    base: dict[str, Any],
    profiles: tuple[dict[str, Any], ...],
    extends: tuple[list[str], ...],
    group: dict[str, Any],
    used: list[str],
    entries: dict[str, tuple[dict[str, Any], list[str] | None]],
) -> None:
    parents = {name: [] if i == 0 else extends[i] for i, name in enumerate(PROFILES)}
    own = dict(zip(PROFILES, profiles, strict=True))
    document = {
        "cluster": {"name": "c", **base},
        "networks": {"provision": {"cidr": "10.0.0.0/8"}},
        "profiles": {name: {"extends": parents[name], **own[name]} for name in PROFILES},
        "groups": {
            "g": {
                "nodes": "n[1-5]",
                "profiles": used,
                "addresses": {"provision": "10.0.0.{number}"},
                **group,
            }
        },
        "nodes": {
            key: {**values, **({} if names is None else {"profiles": names})}
            for key, (values, names) in entries.items()
        },
    }
    site = load({"site.yaml": yaml.safe_dump(document, sort_keys=False)}, VARIABLES)
    sizes = {
        "n[1-3]": "123",
        "n[2-5]": "2345",
        "n3": "3",
        "n[3-4]": "34",
        "n[1-5]": "12345",
        "n1": "1",
    }

    def chain(name: str) -> list[str]:
        return [each for parent in parents[name] for each in chain(parent)] + [name]

    for node in NODES:
        mine = [key for key in entries if node[1:] in sizes[key]]
        mine.sort(key=lambda key: -len(sizes[key]))
        names = used
        for key in mine:
            names = names if entries[key][1] is None else entries[key][1]
        order = list(dict.fromkeys(each for name in names or [] for each in chain(name)))
        layers = [base, *(own[name] for name in order), group, *(entries[key][0] for key in mine)]
        assert site.nodes[node].values == merged(layers)
