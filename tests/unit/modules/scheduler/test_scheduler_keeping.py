"""Which nodes health takes out of service."""

from __future__ import annotations

from typing import Any

from kedge.modules.scheduler.keeping import Row, keep, reason_of

FAILED: Any = [{"check": "disks", "why": "sda says that it's failing", "back": "automatic"}]
BY_HAND: Any = [{"check": "disks", "why": "sda", "back": "by_hand"}]


def row(node: str, state: str = "in_service", **changes: Any) -> Row:
    told = {"group": "g", "drained_by": "", "reason": "", "verdict": "fail", "failed": FAILED}
    return Row(node=node, state=state, **{**told, **changes})


def test_a_failure_drains_and_says_why() -> None:
    kept = keep([row("n1"), row("n2", verdict="pass"), row("n3", verdict="")], 50)
    assert kept.drain == {"kedge: health: disks: sda says that it s failing": ["n1"]}
    assert reason_of(BY_HAND) == "kedge: by hand: health: disks: sda"
    assert len(reason_of([{"check": "x", "why": "y" * 5000}])) == 200


def test_a_check_that_fails_everywhere_does_not_stop_the_cluster() -> None:
    rows = [row(f"n{number:02}") for number in range(40)]
    kept = keep(rows, 10)
    assert [len(names) for names in kept.drain.values()] == [4]
    assert len(kept.spared["g"]) == 36
    out = [
        row(f"n{number:02}", "drained", drained_by="kedge", reason=reason_of(FAILED))
        for number in range(4)
    ]
    assert keep([*out, *rows[4:]], 10).drain == {}, "those that are out already count"


def test_a_group_of_one_may_lose_it() -> None:
    assert keep([row("n1")], 1).drain


def test_only_reasons_of_kedge_change() -> None:
    rows = [
        row("n1", "drained", drained_by="kedge", reason="kedge: release B"),
        row("n2", "drained", drained_by="person", reason="mine"),
        row("n3", "drained", drained_by="kedge", reason="kedge: by hand: health: memory"),
        row("n4", "drained", drained_by="kedge", reason=reason_of(FAILED)),
        row("n5", ""),
    ]
    assert keep(rows, 10).drain == {reason_of(FAILED): ["n1"]}
