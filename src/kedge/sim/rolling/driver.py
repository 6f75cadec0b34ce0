"""Kedge in the simulated world: the production decisions and the production engine, carried out."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kedge.core.engine.engine import Engine
from kedge.core.events import EndStep, Event, NodeConfigured, Observed, StartStep, StepFailed, Tick
from kedge.rollout.decide import decide
from kedge.rollout.model import FINAL, Assign, Progress, Rollout, RunGate, Verdict, View, key
from kedge.rollout.record import as_record, read_record
from kedge.rollout.verbs import approve
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
from kedge.sim.rolling.world import World

ROUND_S = 60.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, by chance of a node or a round: an update that fails (again and again), a check
    that fails, a restart of everything, a node that a person drains."""

    update: float = 0.0
    check: float = 0.0
    restart: float = 0.0
    person: float = 0.0


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
        self._restarts = 0
        self._touched: set[str] = set(self.names)
        self._timer = -1.0
        world.freed = self._freed
        self._start_engine()
        world.later(0.0, self._round)

    # the engine

    def _start_engine(self) -> None:
        self._restarts += 1
        self.engine = Engine(make_graph(600.0), seed=1, restart=self._restarts)
        self.steps.clear()
        self.waiting.clear()
        for name in self.names:
            self._configure(name)
            self._observe(name)

    def _configure(self, name: str) -> None:
        release = self.release[name]
        self._feed(NodeConfigured(name, GOALS, group="all", fingerprint=release))

    def _observe(self, name: str) -> None:
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
                self._touched.add(effect.node)
        self._set_timer()

    def _set_timer(self) -> None:
        due = self.engine.next_timeout()
        if due is not None and due < 1e8 and (self._timer <= self.world.now or due < self._timer):
            self._timer = due
            self.world.later(max(0.0, due - self.world.now), lambda: self._feed(Tick()))

    def _begin(self, effect: StartStep) -> None:
        name, number = effect.node, self.number[effect.node]
        self._touched.add(name)
        self.steps[effect.step_id] = name
        if effect.mutation == DRAIN:
            if not self.world.scheduler.open[number]:
                idle = self.world.scheduler.job[number] is None
            else:
                idle = self.world.close(number)
            if idle:
                self.world.later(1.0, lambda: self._done(effect))
            else:
                self.waiting[name] = effect.step_id
            return
        delay_s = {UPDATE: self.world.update_s(number) - 35.0, CHECK: 30.0, RESUME: 5.0}
        self.world.later(delay_s[effect.mutation], lambda: self._done(effect))

    def _done(self, effect: StartStep) -> None:
        """The world shows a step's effect; of one that nobody waits for any more, too."""
        name, number = effect.node, self.number[effect.node]
        wanted = effect.step_id in self.steps
        self._touched.add(name)
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
        self._observe(name)

    def _unlucky(self, name: str, what: str, share: float) -> bool:
        return share > 0 and random.Random(f"{what} {name} {self.rollout.by}").random() < share

    def _freed(self, number: int) -> None:
        """A closed node's job ended: it is drained."""
        name = self.names[number]
        self.waiting.pop(name, None)
        self.world.later(1.0, lambda: self._observe(name))

    # the rollout

    def _view(self, name: str) -> View:
        number = self.number[name]
        job = self.world.scheduler.job[number]
        condition = self.engine.condition(name)
        failed = ""
        if condition.phase in ("quarantined", "blocked"):
            failed = condition.why
        elif self.verdict[name] == "fail":
            failed = "the health check failed"
        return View(
            release=self.release[name],
            serving=self.world.scheduler.open[number],
            settled=condition.phase == "converged",
            failed=failed,
            aside="drained by alice" if name in self.by_person else "",
            busy_until=job.ends_at if job is not None else 0.0,
            domains={"rack": str(number // 40)},
        )

    def look(self) -> None:
        """See what changed."""
        self._touched.update(self.names[number] for number in self.world.changed)
        self.world.changed.clear()
        for name in self._touched:
            self.views[name] = self._view(name)
        self._touched.clear()

    def _round(self) -> None:
        if self.progress.state in FINAL:
            self.over_at = self.world.now
            return
        self.world.later(ROUND_S, self._round)
        self._trouble()
        self.look()
        self.rounds += 1
        decision = decide(self.rollout, self.progress, self.views, self.world.now)
        self.progress = decision.progress
        for action in decision.actions:
            if isinstance(action, Assign):
                self._assign(action.nodes, action.release)
            elif isinstance(action, RunGate):
                self._gate(action)
        if decision.waits and decision.waits[0].startswith("for approval"):
            self.progress = approve(self.rollout, self.progress, self.world.now)
        if self.progress.state == "paused":
            self.person()
        out = sum(1 for is_open in self.world.scheduler.open if not is_open)
        self.most_out = max(self.most_out, out)

    def person(self) -> None:
        """Somebody sees that it stopped, and lets it go back."""
        self.progress = replace(self.progress, state="rolling_back")

    def _assign(self, names: Iterable[str], release: str) -> None:
        for name in names:
            assert self.release[name] != release
            self.release[name] = release
            self._touched.add(name)
            running = "wanted" if self.image[name] == release else "other"
            self._configure(name)
            self._feed(Observed(name, {RUNNING: running}, "configured", fresh=False))

    def _gate(self, action: RunGate) -> None:
        name = key(action.stage, action.gate.name)
        until = self.gates.setdefault(name, self.world.now + self.gate_s)
        if self.world.now >= until:
            verdicts = {**self.progress.verdicts, name: Verdict("passed", self.world.now)}
            self.progress = replace(self.progress, verdicts=verdicts)

    def _trouble(self) -> None:
        spare = len(self.by_person) < self.rollout.most_out - 1  # else there is no room to go on
        if spare and self.chance.random() < self.faults.person:
            name = self.chance.choice(self.names)
            number = self.number[name]
            if name not in self.by_person and self.world.scheduler.open[number]:
                self.by_person.add(name)
                self.world.close(number)
                self._observe(name)
        if self.faults.restart and self.chance.random() < self.faults.restart:
            record = as_record(self.rollout, self.progress)
            self.rollout, self.progress = read_record(record)
            self._start_engine()
            self._touched.update(self.names)
