"""A person who watches the rollouts of a simulated world: approves stages, and helps when one has stopped.

They do what the howto says: try failed nodes again and resume; what fails again is accepted, a release that
fails its gate again goes back. What they had to do is part of the summary.
"""

from __future__ import annotations

from kedge.lib.nodeset import fold
from kedge.rollout.model import FINAL
from kedge.sim.cluster import Cluster
from kedge.sim.commands import Operator
from kedge.sim.happening import Happening
from kedge.sim.watching.rollout_watch import Rolling

APPROVES_S, HELPS_S = 300.0, 900.0
"""How long they take to approve a stage, and to come when a rollout has stopped."""
STUCK_S = 12 * 3600.0
"""When nothing has moved for so long, they end it."""
PATIENCE = 2
"""How often they resume before they accept, or go back."""


class Person:
    """Looks at all rollouts whenever it is told to."""

    def __init__(self, cluster: Cluster, operator: Operator) -> None:
        self._cluster = cluster
        self._operator = operator
        self._came: dict[tuple[str, str], int] = {}
        self._moved: dict[str, tuple[object, float]] = {}

    def look(self) -> None:
        """Do what is to be done now."""
        if self._operator.waiting:
            return
        for name, one in self._cluster.rollouts.every.items():
            if one.progress.state in FINAL:
                continue
            if one.progress.state == "paused":
                if self._long_in(name, one, HELPS_S):
                    self._help(name, one)
            elif self._waits_for_approval(one):
                if self._long_in(name, one, APPROVES_S):
                    self._say("approve", name)
            elif self._long_in(name, one, STUCK_S):
                self._say("abort" if one.progress.state == "rolling_back" else "rollback", name)

    def _long_in(self, name: str, one: Rolling, span_s: float) -> bool:
        """Whether a rollout has been as it is for so long."""
        now = self._cluster.world.now
        like = one.progress, frozenset(one.taken), len(one.moved)
        known = self._moved.get(name)
        if known is None or known[0] != like:
            self._moved[name] = like, now
            return False
        return now - known[1] >= span_s

    def _waits_for_approval(self, one: Rolling) -> bool:
        progress = one.progress
        stage = one.rollout.stages[progress.stage]
        waits = progress.state == "running" and stage.approval
        return waits and progress.stage not in progress.approved

    def _help(self, name: str, one: Rolling) -> None:
        back = one.progress.resumes == "rolling_back"
        key = name, "back" if back else "on"
        times = self._came[key] = self._came.get(key, 0) + 1
        failed = [node for node in one.rollout.was if self._is_quarantined(node)]
        if failed and times <= PATIENCE:
            self._operator.do(Happening(self._cluster.world.now, "retry", fold(failed)))
        gate_failed = any(v.state == "failed" for v in one.progress.verdicts.values())
        if times <= PATIENCE:
            self._say("resume", name)
        elif gate_failed and not back:
            self._say("rollback", name)
        else:
            self._say("resume", name, accept=True)

    def _is_quarantined(self, node: str) -> bool:
        condition = self._cluster.condition(node)
        return condition is not None and condition.phase in ("quarantined", "blocked")

    def _say(self, verb: str, name: str, *, accept: bool = False) -> None:
        args = {"accept": True} if accept else {}
        self._operator.do(Happening(self._cluster.world.now, verb, name, args=args))
