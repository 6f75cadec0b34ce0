"""What says the same of many nodes is one row or one line, and the worst comes first."""

from __future__ import annotations

from typing import Any

import pytest
from test_cli_render import row, seen

from kedge.cli import render
from kedge.cli.alike import image_name
from kedge.cli.budgets import queue_lines
from kedge.cli.event_folding import folded
from kedge.cli.sheet import node_sheet
from kedge.cli.why import lines
from kedge.shapes.log import EventRow, LinkRow, WhyRow
from kedge.shapes.paths import BudgetRow


def down(number: int, **values: Any) -> Any:
    """A node whose BMC is behind a switch that is gone."""
    address = f"10.78.0.{number + 10}"
    why = f"to try power.read again: the BMC {address} does not answer"
    given: dict[str, Any] = {"phase": "waiting", "why": why, "next": f"ping {address}", **values}
    return row(f"n{number}", **given)


def test_a_rack_without_its_switch_is_one_row_though_each_bmc_has_an_address() -> None:
    rows = [*(row(f"n{i}") for i in range(1, 21)), *(down(i) for i in range(21, 41))]
    text = seen(render.status_table(rows, 200.0))
    assert len(text.splitlines()) == 3
    assert "n[21-40]" in text and "the BMC 10.78.0.[31-50] does not answer" in text


def test_an_address_that_all_share_stays_and_other_numbers_are_no_addresses() -> None:
    why = "the registry 10.77.0.1:5000 has no compute:1.2.3.4.5"
    rows = [row(f"n{i}", phase="waiting", why=why) for i in range(40)]
    assert why in seen(render.status_table(rows, 200.0))
    rows[7] = row("n7", phase="waiting", why=why.replace("1.2.3.4.5", "1.2.3.4.6"))
    assert len(seen(render.status_table(rows, 200.0)).splitlines()) == 3


def test_the_worst_is_on_top_and_few_nodes_stay_in_their_order() -> None:
    phases = ["converged", "moving", "held", "waiting", "quarantined", "blocked"]
    rows = [row(f"n{i}", phase=phases[i % 6]) for i in range(60)]
    shown = [line.split()[1] for line in seen(render.status_table(rows, 200.0)).splitlines()[1:]]
    assert shown == ["quarantined", "blocked", "waiting", "moving", "held", "converged"]
    few = [row(f"n{i}", phase=phase) for i, phase in enumerate(phases)]
    shown = [line.split()[0] for line in seen(render.status_table(few, 200.0)).splitlines()[1:]]
    assert shown == ["n4", "n5", "n0", "n1", "n2", "n3"]


def event(seq: int, at: float, node: str, what: str, cause: str = "") -> EventRow:
    return EventRow(seq, at, node, what, "power.read", cause=cause, node=node)


def test_what_happened_alike_within_some_seconds_is_one_line() -> None:
    rows = [
        event(1, 0.0, "n1", "a", "BMC 10.78.0.11 of n1 does not answer"),
        event(2, 0.1, "n1", "b"),
        event(3, 1.0, "n2", "a", "BMC 10.78.0.12 of n2 does not answer"),
        event(4, 1.1, "n2", "b"),
        event(5, 40.0, "n3", "a", "BMC 10.78.0.13 of n3 does not answer"),
        event(6, 41.0, "", "c"),
        event(7, 41.0, "", "c"),
    ]
    found = folded(rows)
    assert [(one.nodes, one.what) for one in found] == [
        ("n[1-2]", "a"), ("n[1-2]", "b"), ("n3", "a"), ("", "c"), ("", "c"),
    ]  # fmt: skip
    assert found[0].cause == "BMC 10.78.0.[11-12] of n[1-2] does not answer" and found[0].seq == 1


def test_what_happened_to_a_node_stays_in_its_order() -> None:
    rows = [event(1, 0.0, "n1", "a"), event(2, 0.1, "n2", "b"), event(3, 0.2, "n2", "a")]
    assert [(one.nodes, one.what) for one in folded(rows)] == [
        ("n1", "a"),
        ("n2", "b"),
        ("n2", "a"),
    ]
    twice = [event(1, 0.0, "n1", "a"), event(2, 0.1, "n1", "a")]
    assert len(folded(twice)) == 2


def test_a_step_that_is_put_off_time_and_again_is_one_line_of_the_story() -> None:
    def step(seq: int, words: str, because: int) -> LinkRow:
        return LinkRow(
            seq, 1.5e9 + seq, "step", words, "power.state is on, ...", because, 1.5e9 + 99
        )

    chain = [
        LinkRow(1, 1.5e9, "seen", "its agent is silent", "nothing heard for 35 s", 0, 0.0),
        step(2, "power.switch_off was put off: the BMC does not answer", 1),
        step(3, "power.switch_off was put off: the BMC is busy", 2),
        step(4, "power.switch_off was done", 3),
    ]
    found = WhyRow("n1", "moving", 1.5e9, "power.switch_on", "boot.load", chain)
    told = seen(*lines(found, 1.5e9 + 100)).splitlines()
    assert len(told) == 4
    assert "2. " in told[1] and "is busy" in told[1] and ", 2 times, the last at" in told[1]
    assert told[1].endswith("<- 1") and told[2].endswith("<- 2")


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("held", "held: broken fan. Nothing of this begins before it is released"),
        (
            "quarantined",
            "quarantined: broken fan. Nothing of this begins before kedge node retry n1",
        ),
    ],
)
def test_a_path_that_nobody_goes_says_so(phase: str, words: str) -> None:
    step = {"mutation": "power.switch_on", "effects": {"power.state": "on"}, "cost_s": 5}
    path = {"node": "n1", "phase": phase, "why": "broken fan", "steps": [{**step, "where": "head"}]}
    assert words in seen(*render.plan_lines(path))
    assert f"nothing to do; {phase}: broken fan" in seen(*render.plan_lines({**path, "steps": []}))


def test_nodes_that_do_not_fit_are_counted_and_a_command_for_them_names_a_nodeset() -> None:
    names = [f"n{i}" for i in range(1, 200, 2)]
    rows = [row(n, phase="quarantined", why="no", next=f"kedge node retry {n}") for n in names]
    text = seen(render.status_table(rows, 200.0))
    assert "(100 nodes)" in text and "kedge node retry NODESET" in text and "n199" not in text


def test_a_narrow_row_says_why_and_what_is_next_below_it() -> None:
    rows = [row("n1"), row("n2", phase="waiting", why="the BMC is busy", next="nothing")]
    lines = seen(*render.status_paragraphs(rows, 161.0)).splitlines()
    assert lines == [
        "n1  converged  1m01s  on  unknown",
        "n2  waiting  1m01s  on  unknown", "  the BMC is busy", "  next: nothing",
    ]  # fmt: skip


def pool(number: int, budget: str = "power.inrush") -> BudgetRow:
    return BudgetRow(budget, f"rack {number}", False, 2, 2, "n[1-2]", "", "n[3-5]", 3, ["n3"])


def test_queues_of_many_racks_are_one_line() -> None:
    few = queue_lines([pool(1), pool(2)])
    assert len(few) == 2 and "3 nodes waiting for power.inrush of rack 1: 2 of 2 used by" in few[0]
    many = queue_lines([*(pool(number) for number in range(40)), pool(1, "out_of_service")])
    assert len(many) == 2 and many[0].startswith("120 nodes waiting for power.inrush of 40 pools (")


def test_what_cannot_be_asked_has_a_question_mark_and_a_known_image_its_name() -> None:
    digest = "sha256:" + "a" * 64
    rows = [
        row("n1", image=digest, reference="registry:5000/compute:1"),
        row("n2", image=digest, failures={"power.read": "the BMC does not answer"}),
    ]
    first, second = seen(render.status_table(rows, 161.0)).splitlines()[1:]
    assert " on " in first and " compute:1 " in first
    assert " on? " in second and " sha256:aaaaaaaaaaaa " in second


def test_what_is_taken_to_be_is_told_from_what_was_seen() -> None:
    def entry(value: Any) -> dict[str, Any]:
        return {"value": value, "at": 0.0, "by": "agent"}

    found = {
        "node": "n1", "phase": "waiting", "since": 0.0,
        "symbols": {"boot.stage": "stuck", "health.verdict": "unknown"},
        "discovered": {
            "boot.stage": entry(None), "health.verdict": entry(None), "scheduler.jobs": entry(None),
        },
    }  # fmt: skip
    text = seen(*node_sheet(found))
    assert "unknown, taken to be stuck" in text and "scheduler.jobs" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("health.verdict")]
    assert line.split()[1] == "unknown" and "taken" not in line


def test_who_waits_for_a_rack_is_not_said_to_wait_for_a_cluster_that_has_room() -> None:
    room = BudgetRow("out_of_service", "cluster", True, 200, 5, "n[1-5]", "", "n[6-9]", 4, ["n6"])
    rack = BudgetRow("out_of_service", "rack 3", True, 5, 5, "n[1-5]", "", "n[6-9]", 4, ["n6"])
    assert [line.partition(":")[0] for line in queue_lines([room, rack])] == [
        "4 nodes waiting for out_of_service of rack 3"
    ]
    assert len(queue_lines([room])) == 1


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        ("registry:5000/compute:1", "compute:1"),
        (f"registry:5000/compute:1@sha256:{'ab' * 32}", f"compute:1@{'ab' * 6}"),
        ({"reference": f"registry:5000/compute@sha256:{'ab' * 32}"}, f"compute@{'ab' * 6}"),
        ({"digest": f"sha256:{'ab' * 32}"}, f"sha256:{'ab' * 6}"),
        ("(none)", ""),
        (None, ""),
    ],
)
def test_an_image_is_short_enough_for_a_table(image: object, shown: str) -> None:
    assert image_name(image) == shown
