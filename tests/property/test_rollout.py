"""Rollouts in random worlds: jobs, failures, persons, lost messages and restarts at every point."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kedge.rollout.decide import decide
from kedge.rollout.forecast import forecast
from kedge.rollout.model import (
    FINAL,
    Assign,
    Gate,
    Progress,
    Requeue,
    Rollout,
    RunGate,
    Stage,
    Verdict,
    View,
    key,
)
from kedge.rollout.record import as_record, read_record
from kedge.rollout.survey import look
from kedge.rollout.verbs import approve, resume, roll_back

ROUND_S = 30.0
GATE = Gate("hpl", "command", ("true",), 300.0)


class World:
    """Nodes in three racks. An update takes some rounds once the node's job has ended."""

    def __init__(self, chance: random.Random, nodes: int, *, faults: bool) -> None:
        self.chance = chance
        self.faults = faults
        self.now = 1_000_000.0
        self.bad_release = chance.random() < 0.3 if faults else False
        self.bad_gate = chance.random() < 0.2 if faults else False
        self.back: dict[str, float] = {}
        self.views = {
            f"n{number}": View(
                "A", True, True,
                busy_until=self._job(),
                domains={"rack": str(number % 3)},
            )
            for number in range(nodes)
        }  # fmt: skip

    def _job(self) -> float:
        return 0.0 if self.chance.random() < 0.3 else self.now + self.chance.uniform(60, 4000)

    def pass_time(self) -> None:
        self.now += ROUND_S
        for node, view in list(self.views.items()):
            new = view
            if 0 < view.busy_until <= self.now:
                new = replace(new, busy_until=0.0)
            if node in self.back:
                if new.busy_until == 0.0:
                    new = replace(new, serving=False)
                    if self.back[node] <= self.now:
                        new = self._returned(node, new)
            elif new.serving and new.busy_until == 0.0 and self.chance.random() < 0.5:
                new = replace(new, busy_until=self._job())
            self.views[node] = new
        if self.faults:
            self._trouble()

    def _returned(self, node: str, view: View) -> View:
        del self.back[node]
        if self.bad_release and view.release == "B" and self.chance.random() < 0.7:
            return replace(view, failed="it does not boot")
        return replace(view, serving=True, settled=True)

    def _trouble(self) -> None:
        node = self.chance.choice(list(self.views))
        view = self.views[node]
        what = self.chance.random()
        if what < 0.01:
            self.views[node] = replace(view, aside="held by a person")
        elif what < 0.05:
            self.views[node] = replace(view, aside="", known=True, failed="")
        elif what < 0.06:
            self.views[node] = replace(view, known=False)
        elif what < 0.07 and view.serving:
            self.views[node] = replace(view, serving=False, settled=False, busy_until=0.0)
            self.back[node] = self.now + 300

    def assign(self, action: Assign) -> None:
        for node in action.nodes:
            view = self.views[node]
            assert view.release != action.release
            self.views[node] = replace(view, release=action.release, settled=False, failed="")
            self.back[node] = max(self.now, view.busy_until) + self.chance.choice((60, 300, 900))


def make(chance: random.Random, world: World) -> Rollout:
    nodes = tuple(world.views)
    half = max(1, len(nodes) // 2)
    stages = (
        Stage("canary", nodes, min(2, len(nodes)), (GATE,)),
        Stage("scale", nodes, half, (), approval=chance.random() < 0.5,
              deadline_s=chance.choice((0.0, 600.0)), late=chance.choice(("wait", "ask", "requeue"))),
        Stage("rest", nodes, len(nodes)),
    )  # fmt: skip
    return Rollout(
        "weekly", "B", dict.fromkeys(nodes, "A"), stages,
        most_out=chance.randint(1, max(1, len(nodes) // 2)),
        most_out_of=chance.choice(({}, {"rack": 1}, {"rack": 2})),
        order=chance.choice(("idle", "shortest")),
        one_at_a_time=chance.choice(("", "rack")),
        most_failed=chance.choice((0, 0, 2)),
        on_failure=chance.choice(("pause", "rollback")),
    )  # fmt: skip


class Run:
    """A rollout from its beginning, with what is asked of every round."""

    def __init__(self, seed: int, *, faults: bool, crashes: bool) -> None:
        self.chance = random.Random(seed)
        self.world = World(random.Random(seed + 1), self.chance.randint(1, 30), faults=faults)
        self.rollout = make(self.chance, self.world)
        self.progress = Progress(since=self.world.now, stage_since=self.world.now)
        self.crashes = crashes
        self.crash = random.Random(seed + 2)
        self.persons = 0

    def to_the_end(self, most_rounds: int = 4000) -> None:
        for _ in range(most_rounds):
            if self.progress.state in FINAL:
                return
            self.round()
            self.world.pass_time()
        pytest.fail(f"not over: {self.progress}, {self.world.views}")

    def round(self) -> None:
        world, before = self.world, self.progress
        self.came: dict[str, Verdict] = {}
        decision = decide(self.rollout, self.progress, world.views, world.now)
        assert decision == decide(self.rollout, self.progress, world.views, world.now)
        if before.state == "paused":
            assert decision.progress == before and not decision.actions
            self.person()
            return
        if decision.progress.state == "paused":
            assert not decision.actions and decision.progress.why
        saved_first = self.crash.random() < 0.5
        if saved_first:
            self.save(decision.progress)
            if self.crashes and self.crash.random() < 0.2:
                return
        for action in decision.actions:
            self.carry_out(action)
            if self.crashes and self.crash.random() < 0.1:
                return
        if not saved_first:
            self.save(decision.progress)
        if not decision.actions and self.progress.state == before.state == "running":
            assert decision.waits
            self.person()

    def save(self, progress: Progress) -> None:
        """Through the store, as a restart would see it; a verdict that came meanwhile stays."""
        progress = self.with_verdicts(progress)
        record = json.loads(json.dumps(as_record(self.rollout, progress)))
        rollout, self.progress = read_record(record)
        assert rollout == self.rollout and self.progress == progress

    def with_verdicts(self, progress: Progress) -> Progress:
        """With what came of gates in this round."""
        return replace(progress, verdicts={**progress.verdicts, **self.came})

    def carry_out(self, action: object) -> None:
        if isinstance(action, Assign):
            self.check_room(action)
            self.world.assign(action)
        elif isinstance(action, RunGate):
            assert action.nodes
            assert all(self.world.views[n].release == "B" for n in action.nodes)
            if self.world.chance.random() < (0.3 if self.world.faults else 0.9):
                state = "failed" if self.world.bad_gate else "passed"
                name = key(action.stage, action.gate.name)
                verdict = Verdict(state, self.world.now, "too slow")
                self.came[name] = verdict
                self.progress = self.with_verdicts(self.progress)
        elif isinstance(action, Requeue):
            for node in action.nodes:
                self.world.views[node] = replace(self.world.views[node], busy_until=0.0)
                self.world.back[node] = self.world.now + 60

    def check_room(self, action: Assign) -> None:
        """No node goes out of service that is not allowed to."""
        views = self.world.views
        survey = look(self.rollout, self.progress, views)
        going = [n for n in action.nodes if views[n].serving and views[n].settled]
        assert len(going) <= max(0, self.rollout.most_out - survey.out)
        for attribute, most in self.rollout.most_out_of.items():
            for value in {views[n].domains[attribute] for n in going}:
                there = sum(1 for n in going if views[n].domains[attribute] == value)
                assert there + survey.out_of.get((attribute, value), 0) <= most
        assert all(views[n].aside == "" or action.release == "A" for n in action.nodes)

    def person(self) -> None:
        """A person who looks now and then, and in the end always helps."""
        self.persons += 1
        rollout, world = self.rollout, self.world
        if self.progress.state == "paused":
            if world.faults and self.chance.random() < 0.3:
                self.progress = roll_back(rollout, self.progress, "by hand", world.now)
            else:
                world.bad_gate = False
                self.progress = resume(
                    rollout, self.progress, world.views, world.now, accept=self.persons > 5
                )
            return
        stage = rollout.stages[self.progress.stage]
        if stage.approval and self.progress.stage not in self.progress.approved:
            self.progress = approve(rollout, self.progress, world.now)
        elif self.persons % 50 == 0:
            for node, view in world.views.items():
                healed = replace(view, aside="", known=True, failed="")
                if node not in world.back and not (view.serving and view.settled):
                    world.back[node] = world.now + 60
                world.views[node] = healed


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9))
def test_without_faults_every_node_gets_there(seed: int) -> None:
    run = Run(seed, faults=False, crashes=False)
    run.to_the_end()
    assert run.progress.state == "done"
    assert all(v.release == "B" and v.serving for v in run.world.views.values())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9))
def test_restarts_at_any_point_lead_to_the_same_end(seed: int) -> None:
    run = Run(seed, faults=False, crashes=True)
    run.to_the_end()
    assert run.progress.state == "done"
    assert all(v.release == "B" and v.serving for v in run.world.views.values())


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9))
def test_with_faults_it_ends_and_never_takes_too_many(seed: int) -> None:
    run = Run(seed, faults=True, crashes=True)
    run.to_the_end(8000)
    if run.progress.state == "rolled_back":
        assert all(v.release != "B" for v in run.world.views.values())


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9))
def test_a_forecast_ends_and_counts_every_hour(seed: int) -> None:
    run = Run(seed, faults=False, crashes=False)
    views, now = run.world.views, run.world.now
    rollout = replace(
        run.rollout, stages=tuple(replace(s, late="wait") for s in run.rollout.stages)
    )
    told = forecast(rollout, run.progress, views, dict.fromkeys(views, 300.0), now)
    assert told.end_s >= 300 and not told.stuck
    assert len(told.capacity) == int(told.end_s // 3600) + 1
    assert min(told.capacity) >= len(views) - rollout.most_out
    assert [stage.end_s for stage in told.stages] == sorted(stage.end_s for stage in told.stages)
