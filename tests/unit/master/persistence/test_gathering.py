"""Gathering: fewer entries, and still every node's own story, whole and in order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.master.persistence.gathering import Gathering, Notes
from kedge.stores.port import Entry, Note

NODES = tuple("abcde")
TOLD = st.lists(
    st.tuples(
        st.lists(st.sampled_from(NODES), unique=True, max_size=4).map(tuple),
        st.lists(st.sampled_from([Note("step", s) for s in "xyz"]), min_size=1, max_size=2).map(
            tuple
        ),
    ),
    max_size=30,
)


def gathered(told: list[tuple[tuple[str, ...], Notes]]) -> list[Entry]:
    gathering = Gathering()
    for moment, (nodes, notes) in enumerate(told):
        gathering.add(float(moment), nodes, notes)
    entries = gathering.take()
    assert not gathering and gathering.take() == []
    return entries


@given(TOLD)
@settings(max_examples=300, deadline=None)
def test_every_node_has_its_own_story_in_order(told: list[tuple[tuple[str, ...], Notes]]) -> None:
    entries = gathered(told)
    assert len(entries) <= len(told)
    for node in NODES:
        assert [e.notes for e in entries if node in e.nodes] == [
            n for who, n in told if node in who
        ]
    assert all(len(set(entry.nodes)) == len(entry.nodes) for entry in entries)


@given(TOLD)
@settings(max_examples=300, deadline=None)
def test_what_is_said_of_no_node_stays_where_it_was(
    told: list[tuple[tuple[str, ...], Notes]],
) -> None:
    """Everything before it is in an entry before it, everything behind it in one behind."""
    parts: list[list[tuple[tuple[str, ...], Notes]]] = [[]]
    for one in told:
        parts[-1].append(one)
        if not one[0]:
            parts.append([])
    apart = [(e.nodes, e.notes) for part in parts for e in gathered(part)]
    assert [(e.nodes, e.notes) for e in gathered(told)] == apart


def test_nodes_that_do_the_same_are_one_entry_with_the_first_ones_moment() -> None:
    on, ready = (Note("observed", "power.state", "off", "on"),), (Note("phase", "converged"),)
    told = [(("a",), on), (("b",), on), (("a",), ready), (("c", "d"), on), (("b",), ready)]
    assert gathered(told) == [Entry(0.0, tuple("abcd"), on), Entry(2.0, ("a", "b"), ready)]
