"""The paths of nodes, as rows; nodes that go the same way for the same reasons may be one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kedge.core.engine.queueing import Wait
from kedge.lib.nodeset import fold as fold_names
from kedge.master.engine.head import Head
from kedge.master.operations.wording import path_rows

Json = dict[str, Any]


def plan_rows(
    head: Head, names: Iterable[str], goals: Mapping[str, str], *, fold: bool = False
) -> list[Json]:
    """For each node its path to what is configured (with ``goals`` on top), or what blocks it; with
    ``fold`` one row for all that are alike, but for their places in queues."""
    rows: dict[str, Json] = {}
    nodes: dict[str, list[str]] = {}
    for name in names:
        row, queues = _path(head, name, goals)
        pools = [(queue["budget"], queue["pool"], queue["step"]) for queue in queues]
        key = repr((row, pools)) if fold else name
        known = rows.setdefault(key, {**row, "queues": queues})
        nodes.setdefault(key, []).append(name)
        for place, queue in zip(known["queues"], queues, strict=True):
            place["ahead"] = min(place["ahead"], queue["ahead"])
            place["ahead_most"] = max(place["ahead_most"], queue["ahead"])
    return [{"node": fold_names(nodes[key]), **row} for key, row in rows.items()]


def told_rows(paths: Mapping[str, Json], *, fold: bool = False) -> list[Json]:
    """Rows that the nodes' owners told; with ``fold`` one row for all that are alike."""
    rows: dict[str, Json] = {}
    nodes: dict[str, list[str]] = {}
    for name, path in paths.items():
        row = {key: value for key, value in path.items() if key != "node"}
        key = repr(row) if fold else name
        rows.setdefault(key, row)
        nodes.setdefault(key, []).append(name)
    return [{"node": fold_names(nodes[key]), **row} for key, row in rows.items()]


def _path(head: Head, name: str, goals: Mapping[str, str]) -> tuple[Json, list[Json]]:
    condition = head.engine.condition(name)
    if goals:
        explanation = head.engine.plan_to(name, {**condition.goals, **goals}, {})
    else:
        explanation = head.engine.explain(name)
    queues = [_queue(wait) for wait in explanation.queues]
    row = {
        "phase": condition.phase,
        "why": "" if goals or queues else condition.why,
        "waits": explanation.waits if not queues else "",
        "running": [step.mutation for step in condition.running] if not goals else [],
        "steps": path_rows(explanation.plan, explanation.reasons, head.graph),
        "cost_s": explanation.cost_s,
        "proven_cheapest": explanation.proven,
        "given_up": list(explanation.given_up),
        "blocked_by": explanation.blocked_by,
    }
    return row, queues


def _queue(wait: Wait) -> Json:
    return {
        "budget": wait.budget,
        "pool": wait.pool,
        "limit": wait.limit,
        "used": wait.used,
        "ahead": wait.ahead,
        "ahead_most": wait.ahead,
        "step": wait.step,
        "users": list(wait.users),
        "blocker": wait.blocker,
    }
