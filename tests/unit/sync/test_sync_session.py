"""The life of a session is a table; the reference page shows the same one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kedge.sync.handshake import Agreed
from kedge.sync.keys import SUITES, SessionKeys
from kedge.sync.session import TRANSITIONS, Effect, Input, Session, State
from kedge.sync.wire import parse_header

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "sync.md"


def ends(suite: int = 1) -> tuple[Session, Session]:
    keys = SessionKeys(b"u" * 32, b"d" * 32, b"w" * 32, b"n" * 32)
    parent = Agreed(keys, suite, 1, 11, 22, 10.0, 35.0)
    child = Agreed(keys, suite, 1, 22, 11, 10.0, 35.0)
    return (
        Session.from_agreed(parent, is_parent=True, address="c", now=0.0),
        Session.from_agreed(child, is_parent=False, address="p", now=0.0),
    )


def test_the_reference_page_shows_the_table_as_it_is():
    rows = re.findall(
        r"^\| (\w+) \| ([\w ]+) \| (\w+) \| (\w+) \| ([\w ]+) \|$", PAGE.read_text(), re.M
    )
    shown = [row for row in rows if row[0] in {state.value for state in State}]
    assert shown == [
        (row.state.value, row.input.value, row.parent.value, row.child.value, row.effect.value)
        for row in TRANSITIONS
    ]


def test_every_row_is_the_only_one_for_its_state_and_input():
    assert len({(row.state, row.input) for row in TRANSITIONS}) == len(TRANSITIONS)


def test_closed_is_the_end_and_can_be_reached_from_everywhere():
    leaving = {row.state for row in TRANSITIONS if State.CLOSED in (row.parent, row.child)}
    assert leaving == set(State) - {State.CLOSED}
    assert not [row for row in TRANSITIONS if row.state is State.CLOSED]


def test_what_the_table_does_not_list_changes_nothing():
    parent, child = ends()
    assert parent.state is State.OFFERED
    assert child.state is State.LIVE
    assert parent.feed(Input.BYE) is None
    assert parent.state is State.OFFERED
    assert parent.feed(Input.FRAME) is Effect.GO_LIVE
    assert parent.feed(Input.SILENCE) is Effect.LOSE
    assert parent.state is State.SILENT
    assert child.feed(Input.SILENCE) is Effect.LOSE
    assert child.state is State.CLOSED


@pytest.mark.parametrize("suite", SUITES)
def test_a_datagram_opens_once_at_the_other_end_only(suite: int):
    parent, child = ends(suite)
    first, second = child.seal(b"one"), child.seal(b"two")
    header = parse_header(second)
    assert header is not None
    assert parent.open(header, second) == (b"two", True)
    assert parent.open(header, second) is None
    header = parse_header(first)
    assert header is not None
    assert parent.open(header, first[:-1] + b"?") is None
    assert parent.open(header, first) == (b"one", False)
    assert child.open(header, first) is None  # not what the parent sealed
