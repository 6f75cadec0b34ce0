"""Kedge in the simulated world: the production decisions and the production engine, carried out."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from kedge.core.engine.engine import Engine
from kedge.core.events import EndStep, Event, NodeConfigured, Observed, StartStep, StepFailed, Tick
from kedge.rollout.decide import decide
from kedge.rollout.model import FINAL, Assign, Progress, Rollout, RunGate, Verdict, View, key
from kedge.rollout.verbs import approve, resume
from kedge.sim.rolling.graph import (
    CHECK,
    DRAIN,
    GOALS,
    RESUME,
    RUNNING,
    STATE,
    UPDATE,
    VERDICT,
    make_graph,
)
from kedge.sim.rolling.trouble import Faults, Trouble
from kedge.sim.rolling.watch import Watch
from kedge.sim.rolling.world import World

ROUND_S = 60.0
HELPS_S = 1800.0
"""How long nobody comes to a rollout that has paused."""
NODES_OF_A_RACK = 40


class Driver:
    """One rollout, from release A to B. ``decisions`` counts rounds, ``most_out`` what was seen."""

    def __init__(
        self,
        world: World,
        rollout: Rollout,
        *,
        faults: Faults | None = None,
        seed: int = 0,
        gate_s: float = 1800.0,
    ) -> None:
        self.world = world
        self.rollout = rollout
        self.faults = faults or Faults()
        self.chance = random.Random(f"faults {seed}")
        self.trouble = Trouble(self, self.faults, self.chance)
        self.gate_s = gate_s
        self.names = [f"n{number}" for number in range(world.nodes)]
        self.number = {name: number for number, name in enumerate(self.names)}
        self.release = dict.fromkeys(self.names, "A")
        self.image = dict.fromkeys(self.names, "A")
        self.verdict = dict.fromkeys(self.names, "pass")
        self.by_person: set[str] = set()
        self.views: dict[str, View] = {}
        self.progress = Progress(since=world.now, stage_since=world.now)
        self.rounds = 0
        self.most_out = 0
        self.over_at = -1.0
        self.gates: dict[str, float] = {}
        self.steps: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        self.stops: list[str] = []
        self.watch = Watch(
            rollout,
            lambda name: world.scheduler.open[self.number[name]],
            self._is_back,
            lambda name: self._rack(self.number[name]),
        )
        self._paused_at = -1.0
        self._restarts = 0
        self.touched: set[str] = set(self.names)
        self._timer = -1.0
        world.freed = self._freed
        self.start_engine()
        world.later(0.0, self._round)

    # the engine

    def start_engine(self) -> None:
        """Kedge starts, or starts anew: what it knew is what it sees now."""
        self._restarts += 1
        self.engine = Engine(make_graph(600.0), seed=1, restart=self._restarts)
        self.steps.clear()
        self.waiting.clear()
        for name in self.names:
            self._configure(name)
            self.observe(name)

    def _configure(self, name: str) -> None:
        release = self.release[name]
        self._feed(NodeConfigured(name, GOALS, group="all", fingerprint=release))

    def observe(self, name: str) -> None:
        """Tell the engine how a node is."""
        self.touched.add(name)
        number = self.number[name]
        is_open = self.world.scheduler.open[number]
        if not is_open and self.world.scheduler.job[number] is not None:
            state = "in_service"  # it drains: the drain is not over
        else:
            state = "in_service" if is_open else "drained"
        seen = {
            STATE: state,
            RUNNING: "wanted" if self.image[name] == self.release[name] else "other",
            VERDICT: self.verdict[name],
        }
        self._feed(Observed(name, seen, "sim"))

    def _feed(self, event: Event) -> None:
        for effect in self.engine.step(event, self.world.now):
            if isinstance(effect, StartStep):
                self._begin(effect)
            elif isinstance(effect, EndStep):
                self.steps.pop(effect.step_id, None)
                self.waiting.pop(effect.node, None)
            if not isinstance(effect, StartStep) and hasattr(effect, "node"):
                self.touched.add(effect.node)
        self._set_timer()

    def _set_timer(self) -> None:
        due = self.engine.next_timeout()
        if due is not None and due < 1e8 and (self._timer <= self.world.now or due < self._timer):
            self._timer = due
            self.world.later(max(0.0, due - self.world.now), lambda: self._feed(Tick()))

    def _begin(self, effect: StartStep) -> None:
        name, number = effect.node, self.number[effect.node]
        self.touched.add(name)
        self.steps[effect.step_id] = name
        if effect.mutation == UPDATE:
            self.watch.disturbed(name, busy=self.world.scheduler.job[number] is not None)
        if effect.mutation == DRAIN:
            if self.trouble.silent_s() > 0:
                self.world.later(self.trouble.silent_s(), lambda: self._begin_again(effect))
                return
            if not self.world.scheduler.open[number]:
                idle = self.world.scheduler.job[number] is None
            else:
                idle = self.world.close(number)
            if idle:
                self.world.later(1.0, lambda: self._done(effect))
            else:
                self.waiting[name] = effect.step_id
            return
        resume_s = 5.0 + self.trouble.silent_s()
        delay_s = {UPDATE: self.world.update_s(number) - 35.0, CHECK: 30.0, RESUME: resume_s}
        self.world.later(delay_s[effect.mutation], lambda: self._done(effect))

    def _begin_again(self, effect: StartStep) -> None:
        """The scheduler answers again: tell it now what it was not told."""
        if effect.step_id in self.steps:
            self._begin(effect)

    def _rack(self, number: int) -> str:
        return str(number // NODES_OF_A_RACK)

    def _is_back(self, name: str) -> bool:
        is_open = self.world.scheduler.open[self.number[name]]
        return is_open and self.image[name] == self.release[name]

    def _done(self, effect: StartStep) -> None:
        """The world shows a step's effect; of one that nobody waits for any more, too."""
        name, number = effect.node, self.number[effect.node]
        wanted = effect.step_id in self.steps
        self.touched.add(name)
        if effect.mutation == UPDATE:
            if self.release[name] == "B" and self._unlucky(name, "update", self.faults.update):
                if wanted:
                    self._feed(StepFailed(name, effect.step_id, "it did not boot"))
                return
            self.image[name], self.verdict[name] = self.release[name], "none"
        elif effect.mutation == CHECK:
            bad = self.image[name] == "B" and self._unlucky(name, "check", self.faults.check)
            self.verdict[name] = "fail" if bad else "pass"
        elif effect.mutation == RESUME and wanted and not self.world.scheduler.open[number]:
            if name in self.by_person:
                return
            self.world.reopen(number)
        self.observe(name)

    def _unlucky(self, name: str, what: str, share: float) -> bool:
        return share > 0 and random.Random(f"{what} {name} {self.rollout.by}").random() < share

    def _freed(self, number: int) -> None:
        """A closed node's job ended: it is drained."""
        name = self.names[number]
        self.waiting.pop(name, None)
        self.world.later(1.0, lambda: self.observe(name))

    # the rollout

    def _view(self, name: str) -> View:
        number = self.number[name]
        job = self.world.scheduler.job[number]
        condition = self.engine.condition(name)
        failed = ""
        if condition.phase in ("quarantined", "blocked"):
            failed = condition.why
        elif self.verdict[name] == "fail" and self.image[name] == self.release[name]:
            failed = "the health check failed"
        return View(
            release=self.release[name],
            serving=self.world.scheduler.open[number],
            settled=condition.phase == "converged",
            failed=failed,
            aside="drained by alice" if name in self.by_person else "",
            busy_until=job.ends_at if job is not None else 0.0,
            domains={"rack": self._rack(number)},
        )

    def look(self) -> None:
        """See what changed."""
        self.touched.update(self.names[number] for number in self.world.changed)
        self.world.changed.clear()
        for name in self.touched:
            self.views[name] = self._view(name)
        self.touched.clear()

    def _round(self) -> None:
        if self.progress.state in FINAL:
            self.over_at = self.world.now
            return
        self.world.later(ROUND_S, self._round)
        self.trouble.round()
        self.look()
        self.rounds += 1
        views = self.views
        if self.trouble.silent_s() > 0:
            views = {n: replace(v, known=False, serving=False) for n, v in views.items()}
        decision = decide(self.rollout, self.progress, views, self.world.now)
        if decision.progress.state == "paused" != self.progress.state:
            self.stops.append(decision.progress.why)
            self._paused_at, self.watch.stopped = self.world.now, True
        self.progress = decision.progress
        for action in decision.actions:
            if isinstance(action, Assign):
                self._assign(action.nodes, action.release)
            elif isinstance(action, RunGate):
                self._gate(action)
        if decision.waits and decision.waits[0].startswith("for approval"):
            self.progress = approve(self.rollout, self.progress, self.world.now)
        if self.progress.state == "paused" and self.world.now >= self._paused_at + HELPS_S:
            self.person()
        out = sum(1 for is_open in self.world.scheduler.open if not is_open)
        self.most_out = max(self.most_out, out)

    def person(self) -> None:
        """Somebody sees that it stopped: lets a gate that failed run again, or the nodes go back."""
        self.watch.stopped = False
        failed = [v for v in self.progress.verdicts.values() if v.state == "failed"]
        if failed and self.progress.resumes == "running" and self.chance.random() < 0.7:
            self.gates.clear()
            self.progress = resume(self.rollout, self.progress, self.views, self.world.now)
        else:
            self.progress = replace(self.progress, state="rolling_back")

    def _assign(self, names: Iterable[str], release: str) -> None:
        names = tuple(names)
        self.watch.assigned(names, release)
        for name in names:
            assert self.release[name] != release
            self.release[name] = release
            self.touched.add(name)
            running = "wanted" if self.image[name] == release else "other"
            self._configure(name)
            self._feed(Observed(name, {RUNNING: running}, "configured", fresh=False))

    def _gate(self, action: RunGate) -> None:
        name = key(action.stage, action.gate.name)
        until = self.gates.setdefault(name, self.world.now + self.gate_s)
        if self.world.now >= until:
            state = "failed" if self.chance.random() < self.faults.gate else "passed"
            self.watch.stopped = self.watch.stopped or state == "failed"
            verdict = Verdict(state, self.world.now, "too slow" if state == "failed" else "")
            verdicts = {**self.progress.verdicts, name: verdict}
            self.progress = replace(self.progress, verdicts=verdicts)
