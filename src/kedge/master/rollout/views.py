"""How nodes look to rollouts: the views of `kedge.rollout`, made anew only for nodes that changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from kedge.core.condition import Condition
from kedge.core.kinds import Value
from kedge.core.variable import UNKNOWN
from kedge.master.engine.head import Head
from kedge.master.engine.nodes import NodeState
from kedge.rollout.model import View
from kedge.site.releasing import WANTED

SCHEDULER = "scheduler.state"
IMAGE = "image.running"
KEDGE = "kedge"
"""How the scheduler module names drains of its own in ``scheduler.drained_by``."""


Told = Callable[[str], Mapping[str, Any]]


class Views:
    """The view of every node, by name."""

    def __init__(self, head: Head, told: Told = lambda _: {}) -> None:
        """``told`` is what the owner of a node says of it, where that is another process."""
        self._head = head
        self._told = told
        self._views: dict[str, View] = {}
        self._scheduled = SCHEDULER in head.graph.variables

    def renew(self, nodes: Iterable[str] | None = None) -> Mapping[str, View]:
        """Look again at these nodes (None: at all)."""
        names = self._head.nodes if nodes is None else nodes
        for name in names:
            node = self._head.nodes.get(name)
            if node is None:
                self._views.pop(name, None)
            else:
                self._views[name] = self._view(node)
        if nodes is None:
            for name in self._views.keys() - self._head.nodes.keys():
                del self._views[name]
        return self._views

    def _view(self, node: NodeState) -> View:
        condition = self._condition(node)
        known, serving = self._serving(node, condition)
        attributes = node.configuration.attributes
        return View(
            release=str(node.configuration.values.get(WANTED) or ""),
            serving=serving,
            settled=condition.phase == "converged" and _as_configured(condition),
            known=known,
            failed=_failed(node, condition),
            aside=_aside(node, condition),
            busy_until=_busy_until(node.seen("scheduler.jobs")),
            domains={
                **{name: str(value) for name, value in attributes.items()},
                "group": node.configuration.group,
            },
        )

    def _condition(self, node: NodeState) -> Condition:
        """The node's condition, its phase as who acts on it has told. That may be old news, so it is
        never enough to be settled: see `_as_configured`."""
        condition = self._head.engine.condition(node.name)
        told = self._told(node.name)
        if not told:
            return condition
        phase, why = told.get("phase", "waiting"), str(told.get("why", ""))
        return replace(condition, phase=phase, why=why)

    def _serving(self, node: NodeState, condition: Condition) -> tuple[bool, bool]:
        """Whether somebody told of the node, and whether it takes jobs. One that no scheduler has serves
        when it runs, and nobody has told of it as long as it is not known what it does."""
        state = node.seen(SCHEDULER) if self._scheduled else "absent"
        if state is None:
            return False, False
        if state != "absent":
            return True, state == "in_service"
        stage = condition.discovered.get("boot.stage", UNKNOWN)
        runs = condition.phase == "converged" or stage == "running"
        return runs or stage != UNKNOWN, runs


def _as_configured(condition: Condition) -> bool:
    """Whether all that is wanted of the node is seen here, by what is configured here."""
    return all(condition.discovered.get(name) == goal for name, goal in condition.goals.items())


def _failed(node: NodeState, condition: Condition) -> str:
    if condition.phase in ("quarantined", "blocked"):
        return f"{condition.phase}: {condition.why}"
    if condition.phase == "waiting" and "the breaker is open" in condition.why:
        return condition.why
    if condition.discovered.get("health.verdict") == "fail" and _runs_its_image(condition):
        return f"the health check failed{_failing_checks(node.seen('health.failed'))}"
    return ""


def _runs_its_image(condition: Condition) -> bool:
    """Whether it runs what is configured; else a verdict tells of what it ran before, and goes with it."""
    goal = condition.goals.get(IMAGE)
    return goal is None or condition.discovered.get(IMAGE) == goal


def _failing_checks(failed: Value) -> str:
    checks = (
        [check for check in failed if isinstance(check, dict)] if isinstance(failed, list) else []
    )
    said = "; ".join(f"{check.get('check')}: {check.get('why')}" for check in checks)
    return f": {said}" if said else ""


def _aside(node: NodeState, condition: Condition) -> str:
    if condition.phase == "held":
        return f"held: {node.configuration.hold}"
    drained_by = node.seen("scheduler.drained_by")
    if isinstance(drained_by, str) and drained_by and drained_by != KEDGE:
        state = condition.discovered.get(SCHEDULER)
        if state in ("draining", "drained", "down"):
            return f"drained by {drained_by}"
    return ""


def _busy_until(jobs: Value) -> float:
    """When the last job must end; a job without an end counts as endless."""
    if not isinstance(jobs, list):
        return 0.0
    ends = 0.0
    for job in jobs:
        told: Any = cast("dict[str, Any]", job).get("ends_at") if isinstance(job, dict) else None
        ends = max(ends, float(told) if isinstance(told, int | float) and told > 0 else 1e12)
    return ends
