"""Answers as people see them: folded rows, spans of time, changes and plans."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from kedge.cli import render
from kedge.lib.nodeset import fold
from kedge.shapes.log import EventRow
from kedge.shapes.nodes import NodeRow


def seen(*parts: Any) -> str:
    """What a wide, colourless terminal shows."""
    out = StringIO()
    console = Console(file=out, width=300, color_system=None, highlight=False)
    for part in parts:
        console.print(part)
    return out.getvalue()


def row(node: str, **values: Any) -> NodeRow:
    given: dict[str, Any] = {"phase": "converged", "since": 100.0, "power": "on", **values}
    return NodeRow(node, **given)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3661, "1h01m"),
        (90_000, "1d01h"),
    ],
)
def test_durations_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


def test_nodes_that_say_the_same_are_one_row_and_the_longest_wait_is_shown() -> None:
    rows = [row(f"n{i}", since=100.0 + i) for i in range(1, 41)]
    rows[6] = row("n7", phase="quarantined", why="the fan is broken", next="kedge node retry n7")
    text = seen(render.status_table(rows, 161.0))
    assert "n[1-6,8-40]" in text
    assert "1m00s" in text
    line = next(line for line in text.splitlines() if line.startswith("n7 "))
    assert "quarantined" in line and "the fan is broken" in line and "kedge node retry n7" in line
    assert len(text.splitlines()) == 3


def test_held_nodes_are_one_row_although_each_has_a_release_of_its_own() -> None:
    rows = [
        row(f"n{i}", phase="held", why="broken fan", next=f"kedge node release n{i}")
        for i in range(1, 12)
    ]
    text = seen(render.status_table(rows, 161.0, each=False))
    assert len(text.splitlines()) == 2
    assert "kedge node release n[1-11]" in text
    other = row("n12", phase="held", why="n1 and n12 share n12.bmc", next="kedge plan n12")
    lines = seen(render.status_table([other, *rows], 161.0, each=False)).splitlines()
    assert len(lines) == 3 and "n1 and n12 share n12.bmc" in lines[1]


def test_a_plan_without_steps_says_why_and_what_else_may_be_asked() -> None:
    told = {"node": "n3", "phase": "converged", "why": "discovered is as configured", "steps": []}
    text = seen(*render.plan_lines(told))
    assert text.startswith("n3: nothing to do, discovered is as configured.")
    assert "kedge plan n3 --to power.state=off" in text


def test_few_nodes_have_each_a_row() -> None:
    text = seen(render.status_table([row("n1"), row("n2")], 100.0))
    assert [line.split()[0] for line in text.splitlines()] == ["node", "n1", "n2"]


def test_what_a_node_is_doing_has_its_share() -> None:
    busy = row(
        "n1", step="image.activate", progress={"what": "fetching layer 2 of 5", "share": 0.4}
    )
    assert render.doing(busy) == "image.activate: fetching layer 2 of 5 40%"
    assert render.doing(row("n1")) == ""


def test_phases_are_counted() -> None:
    rows = [row("n1"), row("n2"), row("n3", phase="held")]
    assert seen(render.summary_line(rows)).strip() == "3 nodes, 2 converged, 1 held"


def test_changes_show_sign_values_and_origin() -> None:
    change = {
        "kind": "node",
        "name": "n[001-040]",
        "change": "changed",
        "field": "image.wanted",
        "before": "a",
        "after": "b",
        "origin": "profile compute (profiles.yaml:7)",
        "varied": 0,
    }
    varied = {**change, "change": "added", "before": None, "after": "x ... y", "varied": 40}
    gone = {"kind": "group", "name": "g", "change": "removed", "field": "", "origin": ""}
    assert seen(*render.diff_lines([change, varied, gone])).splitlines() == [
        "~ node n[001-040] image.wanted: a -> b  [profile compute (profiles.yaml:7)]",
        "+ node n[001-040] image.wanted: x ... y (40 values)  [profile compute (profiles.yaml:7)]",
        "- group g",
    ]
    assert seen(*render.diff_lines([])).strip() == "nothing changes"


def test_a_plan_shows_steps_order_and_reasons() -> None:
    step = {"effects": {"power.state": "on"}, "cost_s": 5, "where": "head", "after": ()}
    text = seen(
        *render.plan_lines(
            {
                "node": "n1",
                "cost_s": 25,
                "steps": [
                    {**step, "mutation": "power.switch_on", "why": ""},
                    {**step, "mutation": "boot.load", "after": [0], "why": "it is not running"},
                ],
            }
        )
    )
    assert "n1: 2 steps, about 25 s" in text
    assert "2. boot.load  power.state=on  (5 s, head, after 1)" in text
    assert "because it is not running" in text


def test_a_plan_that_is_blocked_or_empty_says_so() -> None:
    assert "blocked: no BMC" in seen(*render.plan_lines({"node": "n1", "blocked_by": "no BMC"}))
    assert seen(*render.plan_lines({"node": "n1"})).strip() == "n1: nothing to do"


def test_an_event_of_many_nodes_is_one_line_and_a_long_nodeset_is_counted() -> None:
    event = EventRow(7, 0.0, "n[001-512]", "observed", "power.state", "off", "on")
    assert "  n[001-512]  observed power.state  off -> on" in seen(render.event_line(event))
    event = EventRow(7, 0.0, fold(f"node{n:04}" for n in range(1, 200, 2)), "phase", "moving")
    line = seen(render.event_line(event))
    assert "node[0001,0003," in line and ",...] (100 nodes)  phase moving" in line
    assert len(line) < 110


def test_an_event_is_one_line_with_its_cause() -> None:
    event = EventRow(7, 0.0, "n1", "observed", "power.state", "off", "on", "by bmc")
    line = seen(render.event_line(event))
    assert "n1" in line and "observed power.state" in line
    assert "off -> on" in line and "(by bmc)" in line
    assert len(line.splitlines()) == 1


def test_words_of_the_cluster_are_never_read_as_markup() -> None:
    text = seen(render.status_table([row("n1", why="[red]not a colour[/red]")], 100.0))
    assert "[red]not a colour[/red]" in text


def test_nothing_that_a_node_says_reaches_the_terminal_as_a_command() -> None:
    evil = "\x1b]0;title\x07\x1b[2J"
    shown = seen(
        render.status_table([row("n1", why=evil, progress={"what": evil})], 100.0),
        render.event_line(EventRow(1, 0.0, "n1", "observed", "facts", "", evil, evil)),
        render.records_table([{"name": evil}], ["name"]),
    )
    assert "\x1b" not in shown and "\x07" not in shown


def test_nodes_in_one_queue_are_one_row() -> None:
    why = "for the budget out_of_service of rack 1 (limit 1, {} ahead; used by n9)"
    rows = [row(f"n{i}", phase="waiting", why=why.format(i - 1)) for i in (3, 1, 2)]
    text = seen(render.status_table(rows, 161.0, each=False))
    assert "n[1-3]" in text and "(limit 1, 0 to 2 ahead; used by n9)" in text
    assert len(text.splitlines()) == 2
