"""How long a rollout will take, and what is left in service meanwhile: it is played forward.

The decisions are the real ones; what is assumed of the world is simple, and said to who asks: jobs run
until their time is up and no new ones begin, an update takes as long as it is expected to, nothing
fails, gates take their whole deadline, and persons approve at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kedge.rollout.decide import decide
from kedge.rollout.model import (
    FINAL,
    Assign,
    Decision,
    Progress,
    Requeue,
    Rollout,
    RunGate,
    Verdict,
    View,
    key,
)

STEPS = 300
"""Into about so many moments the time is divided; what happens between two counts at the later one."""
MOST_STEPS = 4000


@dataclass(frozen=True, slots=True)
class StageForecast:
    """When a stage begins and ends, in seconds from now (``end_s`` -1: it was not reached)."""

    name: str
    begin_s: float
    end_s: float
    approval: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """``end_s`` seconds until it is over (-1: it gets stuck, on ``stuck``). ``capacity`` is the least
    number of nodes in service in each hour from now, of ``nodes``."""

    end_s: float
    nodes: int
    stages: tuple[StageForecast, ...]
    capacity: tuple[int, ...]
    stuck: str = ""


@dataclass(slots=True)
class _World:
    """The nodes as they would be. ``back`` is when a node that was given a release is in service."""

    views: dict[str, View]
    update_s: Mapping[str, float]
    back: dict[str, float] = field(default_factory=dict[str, float])
    gates: dict[str, float] = field(default_factory=dict[str, float])

    def move(self, now: float) -> None:
        """Everything that has happened by ``now``."""
        for node in [node for node, at in self.back.items() if at <= now]:
            del self.back[node]
            view = self.views[node]
            self.views[node] = replace(view, serving=True, settled=True, busy_until=0.0)
        for node, view in self.views.items():
            if 0 < view.busy_until <= now:
                serving = view.serving and node not in self.back
                self.views[node] = replace(view, busy_until=0.0, serving=serving)

    def assign(self, action: Assign, now: float) -> None:
        for node in action.nodes:
            view = self.views[node]
            begin = max(now, view.busy_until)
            self.back[node] = begin + self.update_s.get(node, 0.0)
            serving = view.serving and view.busy_until > now
            self.views[node] = replace(view, release=action.release, settled=False, serving=serving)

    def next(self) -> float | None:
        """When the next thing happens."""
        jobs = [v.busy_until for n, v in self.views.items() if v.busy_until and n in self.back]
        return min([*self.back.values(), *self.gates.values(), *jobs], default=None)

    def serving(self) -> int:
        """How many take jobs, or still run one."""
        return sum(1 for view in self.views.values() if view.serving)


def forecast(
    rollout: Rollout,
    progress: Progress,
    views: Mapping[str, View],
    update_s: Mapping[str, float],
    now: float,
) -> Forecast:
    """Play the rollout forward from ``now``; ``update_s`` is how long each node's update takes."""
    world = _World({n: v for n, v in views.items() if n in rollout.was}, update_s)
    for node, view in world.views.items():
        if view.release == rollout.release and not (view.serving and view.settled):
            world.back[node] = max(now, view.busy_until) + update_s.get(node, 0.0)
    latest = max((view.busy_until - now for view in world.views.values()), default=0.0)
    rounds = len(rollout.was) / max(1, rollout.most_out)
    span_s = max(latest, 0.0) + rounds * max(update_s.values(), default=0.0)
    quantum_s = max(1.0, span_s / STEPS)
    capacity: list[int] = []
    began = {progress.stage: 0.0}
    ended: dict[int, float] = {}
    time = now
    stuck = ""
    for _ in range(MOST_STEPS):
        world.move(time)
        progress, stuck = _round(rollout, progress, world, time)
        for stage in range(min(began), progress.stage + 1):
            began.setdefault(stage, time - now)
            if stage < progress.stage or progress.state in FINAL:
                ended.setdefault(stage, time - now)
        _count(capacity, world.serving(), time - now)
        if progress.state in FINAL or progress.state == "paused":
            break
        upcoming = world.next()
        if upcoming is None:
            break
        time = max(upcoming, time + quantum_s)
    over = progress.state in FINAL
    stages = tuple(
        StageForecast(stage.name, began.get(i, -1.0), ended.get(i, -1.0), stage.approval)
        for i, stage in enumerate(rollout.stages)
    )
    return Forecast(
        time - now if over else -1.0,
        len(world.views),
        stages,
        tuple(capacity),
        "" if over else stuck,
    )


def _round(rollout: Rollout, progress: Progress, world: _World, now: float) -> tuple[Progress, str]:
    """Decide until nothing more follows at this moment."""
    decision = Decision(progress)
    for _ in range(4 * len(rollout.stages) + 8):
        if progress.state == "running":
            progress = replace(progress, approved=frozenset(range(len(rollout.stages))))
        decision = decide(rollout, progress, world.views, now)
        progress = decision.progress
        acted = False
        for action in decision.actions:
            if isinstance(action, Assign):
                world.assign(action, now)
                acted = True
            elif isinstance(action, RunGate):
                progress, passed = _gate(progress, action, world, now)
                acted = acted or passed
            else:
                _requeue(action, world, now)
        if not acted:
            break
    return progress, progress.why or "; ".join(decision.waits)


def _gate(progress: Progress, action: RunGate, world: _World, now: float) -> tuple[Progress, bool]:
    name = key(action.stage, action.gate.name)
    until = world.gates.setdefault(name, now + action.gate.deadline_s)
    if now < until:
        return progress, False
    del world.gates[name]
    verdicts = {**progress.verdicts, name: Verdict("passed", now)}
    return replace(progress, verdicts=verdicts), True


def _requeue(action: Requeue, world: _World, now: float) -> None:
    for node in action.nodes:
        world.views[node] = replace(world.views[node], busy_until=0.0, serving=False)
        world.back[node] = now + world.update_s.get(node, 0.0)


def _count(capacity: list[int], serving: int, at_s: float) -> None:
    hour = int(at_s // 3600)
    while len(capacity) <= hour:
        capacity.append(capacity[-1] if capacity else serving)
    capacity[hour] = min(capacity[hour], serving)
