"""Dry runs, queues and chains as people see them."""

from __future__ import annotations

from typing import Any

from test_cli_render import seen

from kedge.cli import why
from kedge.cli.prospect import prospect_lines, summary_lines
from kedge.cli.render import plan_lines
from kedge.shapes.log import LinkRow, WhyRow
from kedge.shapes.paths import LegRow, OutlookRow, PlanStep, ProspectRow, StandingRow, StuckRow


def kind(nodes: str = "n[1-8]", **more: Any) -> OutlookRow:
    step = PlanStep("power.shut_down", {"power.state": "off"}, 20, "head", [], "because", "", True)
    given: dict[str, Any] = {
        "count": 8, "steps": [step], "cost_s": 20, "there_s": 80, "disrupted": True, "out_s": 20,
        "returns": True, "proven_cheapest": True, "given_up": [], "blocked_by": "", "assumed": {},
    }  # fmt: skip
    return OutlookRow(nodes, **{**given, **more})


def prospect(*moving: OutlookRow, **more: Any) -> ProspectRow:
    count = sum(row.count for row in moving)
    given: dict[str, Any] = {
        "still": [], "blocked": [], "held": [], "quarantined": [], "stuck": [],
        "moving_count": count, "disrupted": sum(row.count for row in moving if row.disrupted),
        "duration_s": 80, "critical": [],
    }  # fmt: skip
    return ProspectRow(moving=list(moving), **{**given, **more})


def test_a_kind_of_nodes_says_how_long_and_whether_it_returns() -> None:
    text = seen(
        *prospect_lines(prospect(kind(assumed={"image.ready": "missing", "a.b": "unknown"})))
    )
    assert (
        "n[1-8]: 1 step, 20s of work each, all within 1m20s; out of service for up to 20s" in text
    )
    assert "(20 s, head)  disruptive" in text
    assert "not known, and taken to be: image.ready missing\n" in text
    assert "8 nodes move, 8 go out of service; the last is there after about 1m20s" in text
    stays = seen(*prospect_lines(prospect(kind("n1", count=1, returns=False))))
    assert "n1: 1 step, 20s of work each; out of service from then on" in stays
    assert "1 node moves, 1 goes out of service" in stays


def test_who_does_not_move_is_named_with_the_reason() -> None:
    found = prospect(
        held=[StandingRow("n9", 1, "broken fan")],
        quarantined=[StandingRow("n8", 1, "no way is left")],
        blocked=[StandingRow("n7", 1, "nothing brings it about")],
        stuck=[StuckRow("n6", 1, "out_of_service", "cluster")],
    )
    text = seen(*summary_lines(found))
    assert "held: n9 (broken fan)" in text and "quarantined: n8 (no way is left)" in text
    assert "blocked: n7 (nothing" in text and "no node takes a step" in text
    assert "n6 would wait for ever for out_of_service of the cluster" in text


def test_the_chain_that_decides_is_shown_where_a_budget_is_in_it() -> None:
    pool = LegRow(2, 70, ["boot.load"], "n[1-8]", 8, "boot.servers", "cluster", 2, False)
    alone = LegRow(0, 2, ["power.switch_on"], "n1", 1, "", "", 0, False)
    text = seen(*summary_lines(prospect(kind(), critical=[alone, pool])))
    assert "0s - 2s      power.switch_on on n1" in text
    assert "2s - 1m10s   boot.servers of the cluster, 2 nodes at once: n[1-8]" in text
    assert "because of" not in seen(*summary_lines(prospect(kind(), critical=[alone])))


def test_many_kinds_are_cut_and_counted() -> None:
    kinds = [kind(f"n{i}", count=1) for i in range(20)]
    text = seen(*prospect_lines(prospect(*kinds)))
    assert "n11: 1 step" in text and "n12: 1 step" not in text
    assert "and 8 more nodes on 8 other ways: -o json" in text


def test_a_place_in_a_queue_says_who_is_ahead_and_who_is_stuck() -> None:
    queue = {
        "budget": "out_of_service", "pool": "rack 1", "limit": 2, "used": 5, "ahead": 0,
        "ahead_most": 3, "step": "", "users": ["n1", "n2"], "blocker": "n2",
    }  # fmt: skip
    text = seen(*plan_lines({"node": "n[3-6]", "steps": [], "queues": [queue], "phase": "waiting"}))
    assert (
        "waits to go out of service for out_of_service of rack 1: 0 to 3 ahead; "
        "5 of 2 used by n1, n2 and 3 more; n2 does not go on by itself: kedge why n2" in text
    )


def test_a_long_chain_keeps_its_beginning_and_its_end() -> None:
    chain = [LinkRow(i, 1.5e9, "step", f"s{i} began", "", i - 1, 0.0) for i in range(1, 101)]
    text = seen(*why.lines(WhyRow("n1", "moving", 1.5e9, "s100", "next", chain), 1.5e9 + 5))
    assert "  6. " in text and "  7. " not in text and " 61. " in text
    assert "... 54 lines more" in text and "s100 began  <- 99" in text
    assert text.splitlines()[-1] == "now: n1 is moving since 5s: s100; next: next"
