"""Reading YAML: lines, YAML 1.2's scalars, and bounds."""

from __future__ import annotations

import pytest

from kedge.lib.errors import KedgeError
from kedge.site import tree
from kedge.site.problems import Place, Problems
from kedge.site.tree import Table, plain, read_yaml


def read(text: str) -> tree.Tree | None:
    problems = Problems()
    found = read_yaml(text, "a.yaml", problems)
    problems.raise_any()
    return found


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("n", "n"),
        ("true", True),
        ("false", False),
        ("52:54:00:77:00:01", "52:54:00:77:00:01"),
        ("010", 10),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("2026-11-21", "2026-11-21"),
        ("~", None),
        ("", None),
        ('"7"', "7"),
        ("'true'", "true"),
        ("9" * 5000, "9" * 5000),
        ("=", "="),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(written: str, value: object) -> None:
    found = read(f"a: {written}")
    assert found is not None
    assert plain(found) == {"a": value}
    assert type(plain(found)["a"]) is type(value)  # pyright: ignore


def test_every_key_and_value_knows_its_line() -> None:
    found = read("a:\n  b: 1\n\n  c:\n    - x\n    - y\n")
    assert isinstance(found, Table)
    inner = found.entries["a"]
    assert isinstance(inner, Table)
    assert inner.keys["c"] == Place("a.yaml", 4)
    assert inner.entries["b"].place == Place("a.yaml", 2)


def test_empty_documents_are_nothing() -> None:
    assert read("") is None
    assert read("# only a comment\n") is None
    assert read("---\n") is None


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("a: 1\nb: 2\na: 3", "site.duplicate_key", "a.yaml:3"),
        ("a: {b: 1, b: 2}", "site.duplicate_key", "a.yaml:1"),
        ("a: 1\n---\nb: 2", "site.many_documents", "a.yaml:2"),
        ("a: !!python/object/apply:os.system ['true']", "site.tag", "a.yaml:1"),
        ("a: !!binary aGFsbG8=", "site.tag", "a.yaml:1"),
        ("a: *b", "site.unknown_alias", "a.yaml:1"),
        ("a: &x [*x]", "site.unknown_alias", "a.yaml:1"),
        ("a: 1\n  b: 2", "site.bad_yaml", "a.yaml:2"),
        ("? [a]\n: 1", "site.bad_key", "a.yaml:1"),
        ("a: \x07", "site.bad_yaml", "a.yaml"),
        ("a: \ud800", "site.bad_yaml", "a.yaml"),
        ("[" * 100_000, "site.too_deep", "a.yaml:1"),
        ("a: " + "{b: " * 40 + "1" + "}" * 40, "site.too_deep", "a.yaml:1"),
    ],
)
def test_what_is_refused(text: str, code: str, where: str) -> None:
    with pytest.raises(KedgeError) as caught:
        read(text)
    assert caught.value.code == code
    assert caught.value.where == where


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [" + ", ".join("x" * 10) + "]"]
    for i in range(1, 9):
        lines.append(f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]")
    with pytest.raises(KedgeError) as caught:
        read("\n".join(lines))
    assert caught.value.code == "site.too_large"


def test_a_chain_of_aliases_cannot_nest_too_deeply() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60)]
    with pytest.raises(KedgeError) as caught:
        read("\n".join(lines))
    assert caught.value.code == "site.too_large"


def test_a_small_alias_is_read() -> None:
    found = read("a: &x {b: 1}\nc: *x")
    assert found is not None
    assert plain(found) == {"a": {"b": 1}, "c": {"b": 1}}
