"""Nodesets: folding and expanding are inverse, mean what ClusterShell means, and are bounded."""

from __future__ import annotations

from typing import Any

import pytest
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.lib import nodeset
from kedge.lib.errors import KedgeError

QUICK = settings(max_examples=200, deadline=None)
NAMES = st.builds(
    lambda stem, number, width: f"{stem}{number:0{width}d}",
    st.sampled_from(("n", "gpu-", "r1n", "login")),
    st.integers(0, 300),
    st.integers(1, 3),
)
RANGES = st.builds(
    lambda low, more, step: f"{low}-{low + more}" + (f"/{step}" if step > 1 else ""),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(1, 3),
)
SETS = st.lists(
    st.builds(lambda stem, parts: f"{stem}[{','.join(parts)}]", st.sampled_from(("n", "r2-c")),
              st.lists(RANGES, min_size=1, max_size=3)),
    min_size=1, max_size=3,
).map(",".join)  # fmt: skip


@given(st.lists(NAMES))
@QUICK
def test_folding_and_expanding_are_inverse(names: list[str]) -> None:
    assert set(nodeset.expand(nodeset.fold(names))) == set(names)


MIXED = st.lists(
    NAMES
    | st.builds("{}{}".format, st.sampled_from(("", "n", "a.b-", "N_")), st.integers(0, 200))
    | st.sampled_from(
        ("n", "n-", "r1-n2", "n2-ib", "n3.x", "n000", "n0", "1", "01", "n[1-3]", "é1")
    ),
    max_size=40,
)


@given(MIXED)
@settings(max_examples=1000, deadline=None)
def test_what_is_folded_quickly_is_what_clustershell_folds(names: list[str]) -> None:
    oracle: Any = NodeSet.fromlist(names, resolver=RESOLVER_NOGROUP)
    assert nodeset.fold(names) == str(oracle)


@given(SETS)
@QUICK
def test_expansion_is_clustershells(text: str) -> None:
    oracle: Any = NodeSet(text, resolver=RESOLVER_NOGROUP)
    assert nodeset.expand(text) == list(oracle)


@given(st.text(alphabet="n1290[]-,/!&^@* ", max_size=20) | st.text())
@QUICK
def test_nothing_but_kedge_errors(text: str) -> None:
    try:
        assert isinstance(nodeset.expand(text), list)
    except KedgeError as error:
        assert error.code in ("nodeset.syntax", "nodeset.too_large")


@pytest.mark.parametrize(
    "text",
    [
        "n[1-1000000000]",
        "n[1-10000]r[1-10000]",
        "a1,n[1-" + "9" * 5000 + "]",
        "n[1-3]!n[1-999999999]",
        ",".join(f"n{i}-[1-200000]" for i in range(20)),
        "n" * 5_000_000,
    ],
)
def test_far_too_many_are_refused_before_they_are_made(text: str) -> None:
    with pytest.raises(KedgeError) as caught:
        nodeset.expand(text)
    assert caught.value.code == "nodeset.too_large"
    assert len(str(caught.value)) < 300
