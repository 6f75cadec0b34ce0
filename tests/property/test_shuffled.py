"""The order in which modules are registered changes nothing: neither plans nor what the engine does."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from msgspec.structs import asdict

from fake_modules import modules
from kedge.core.engine import Engine
from kedge.core.events import NodeConfigured, Observed, StartDiscovery, StartStep, StepFailed, Tick
from kedge.core.graph import Graph
from kedge.core.kinds import Enum
from kedge.core.module import Module
from kedge.core.planner.cache import Planner

SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))
SHUFFLES = 1000 * SCALE
GOALS = {"power.state": "on", "image.running": "wanted"}
SERVICES = ("cache", "agent", "batch", "disk")


def services() -> list[Module]:
    """Services with two ways to each goal at one price, so that ties must be broken; and a protection."""
    made: list[Module] = []
    for name in SERVICES:
        module = Module(name, summary="")
        state = module.variable(
            "state", Enum(("stopped", "running", "failed")), configured=True,
            while_={"boot.stage": "running"}, initial="stopped",
        )  # fmt: skip
        module.listens(state, timeout_s=60, requires={"boot.stage": "running"})
        for way in ("start", "begin"):
            module.edge(
                way, {state: "running"}, where="node", requires={state: "stopped"}, cost_s=3
            )
        module.edge("mend", {state: "stopped"}, where="node", requires={state: "failed"})
        module.protects("power.state", {state: ("stopped", "failed", "running", "unknown")})
        made.append(module)
    return made


def shuffled(rng: random.Random) -> list[Module]:
    made = [*modules(), *services()]
    rng.shuffle(made)
    for module in made:
        for declared in (module.variables, module.mutations, module.discoveries):
            rng.shuffle(declared)
    return made


class Play:
    """Two nodes that go from off to running, with one failure, and all that an engine says of it."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.engine = graph, Engine(graph, seed=3)
        self.told: list[Any] = []
        self.truth = {
            node: {"power.state": "off", "image.ready": "missing"} for node in ("n1", "n2")
        }
        self.failed = False
        self.agenda: list[Callable[[], Any]] = []

    def seen(self, node: str, variables: Iterable[str]) -> Callable[[], Any]:
        return lambda: Observed(node, {name: self.truth[node][name] for name in variables}, "test")

    def carry_out(self, step: StartStep) -> Callable[[], Any]:
        def act() -> Any:
            if step.mutation == "boot.load" and not self.failed:
                self.failed = True
                return StepFailed(step.node, step.step_id, "no")
            effects = self.graph.mutations[step.mutation].effects
            self.truth[step.node].update(effects)
            return Observed(step.node, effects, "test")

        return act

    def run(self) -> list[Any]:
        goals = {**GOALS, **{f"{name}.state": "running" for name in SERVICES}}
        for node in self.truth:
            self.agenda.append(partial(NodeConfigured, node, goals, fingerprint="1"))
        for turn in range(150):
            event = self.agenda.pop(0)() if self.agenda else Tick()
            for effect in self.engine.step(event, 100.0 + turn):
                self.told.append((type(effect).__name__, asdict(effect)))
                if isinstance(effect, StartStep):
                    self.agenda.append(self.carry_out(effect))
                elif isinstance(effect, StartDiscovery):
                    asked = self.graph.discoveries[effect.discovery]
                    if asked.handler is not None:
                        self.agenda.append(self.seen(effect.node, asked.variables))
        assert {self.engine.condition(node).phase for node in self.truth} == {"converged"}
        assert self.failed
        return self.told


def planned(graph: Graph) -> list[tuple[str, object]]:
    """The steps from a machine that is off."""
    compiled = graph.compiled
    goals = {**GOALS, **{f"{name}.state": "running" for name in SERVICES}}
    start = [compiled.initial[v] or 1 for v in range(len(compiled.values))]
    plan = Planner(compiled).plan(compiled.normalise(start), compiled.assignment(goals))
    return [(step.name, step.writes) for step in plan.steps]


def test_a_thousand_orders_of_registration_lead_to_the_same_steps() -> None:
    rng = random.Random(5)
    first = Graph.of([*modules(), *services()])
    expected, story = planned(first), Play(first).run()
    assert {name for name, _ in expected} >= {"batch.begin", "boot.load"}, "ties go by name"
    for number in range(SHUFFLES):
        graph = Graph.of(shuffled(rng))
        assert planned(graph) == expected
        if number % 20 == 0:
            assert Play(graph).run() == story
