"""What planning costs, and how seldom it is needed: searches by class, in a storm, and cold plans."""

from __future__ import annotations

import heapq
import random
import statistics
import time
from collections.abc import Iterable, Sequence
from typing import Any

from kedge.core.engine.engine import Engine
from kedge.core.events import (
    ConfiguredMany,
    Effect,
    Event,
    Many,
    ObservedMany,
    StartDiscovery,
    StartStep,
    StepFailed,
    Tick,
    each,
)
from kedge.core.graph import Graph
from kedge.core.planner.cache import Planner
from scale.fleet import GROUP_NODES, SERVICES, graph_of, service
from scale.process import Stopwatch

OFF = {"power.state": "off", "image.ready": "missing"}
RUN = {"power.state": "on", "image.ready": "ready", "image.running": "wanted"}
BEAT_S = 0.05
FEW = 100
"""So few nodes are looked at singly, whether they have come to an end other than converged."""


class Fleet:
    """Nodes of one engine in virtual time. Each step takes a second or two, and some fail."""

    def __init__(self, graph: Graph, nodes: int, failing: float, seed: int = 1) -> None:
        self.graph = graph
        self.engine = Engine(graph, seed=seed)
        self.names = [f"n{number:06}" for number in range(nodes)]
        self.steps = self.failed = 0
        self._failing = failing
        self._random = random.Random(seed)
        self._now = 0.0
        self._asked: list[str] = []
        self._power = dict.fromkeys(self.names, "off")
        self._due: list[tuple[float, int, StartStep, bool]] = []
        off = graph.compiled.symbols(graph.compiled.normalise(self._off()))
        self.configure([(self.names, {"power.state": "off"})])
        self._tell([ObservedMany(self.names, off)])

    def _off(self) -> list[int]:
        compiled = self.graph.compiled
        state = [compiled.initial[v] or 1 for v in range(len(compiled.values))]
        for variable, value in compiled.assignment(OFF):
            state[variable] = value
        return state

    def configure(self, classes: Iterable[tuple[Sequence[str], dict[str, str]]]) -> None:
        """Give nodes their goals, in groups as a site has them."""
        events = [
            ConfiguredMany(some, goals, [str(self._now)] * len(some), group=f"g{begin}")
            for names, goals in classes
            for begin in range(0, len(names), GROUP_NODES)
            for some in [names[begin : begin + GROUP_NODES]]
        ]
        self._now += 10.0
        self._tell(events)

    def _tell(self, events: Sequence[Event]) -> None:
        for found in self.engine.advance(events, self._now):
            for effect in each(found) if isinstance(found, Many) else (found,):
                self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, StartDiscovery) and effect.discovery == "power.read":
            self._asked.append(effect.node)
        elif isinstance(effect, StartStep):
            self.steps += 1
            fails = self._random.random() < self._failing
            lasts_s = self._random.uniform(1.0, 2.0)
            heapq.heappush(self._due, (self._now + lasts_s, self.steps, effect, fails))

    def run(self, most_s: float) -> None:
        """Until nothing moves any more, or so much time has passed."""
        end = self._now + most_s
        while self._now < end and self._moves():
            timeout = self.engine.next_timeout()
            wakes = [self._due[0][0]] if self._due else []
            wakes += [timeout] if timeout is not None else []
            self._now = max(self._now + BEAT_S, min(wakes))
            self._tell([*self._results(), Tick()])

    def _moves(self) -> bool:
        left = self.engine.differing()
        return len(left) > FEW or any(
            self.engine.condition(node).phase in ("moving", "waiting") for node in left
        )

    def _results(self) -> list[Event]:
        alike: dict[str, list[str]] = {}
        failed: list[Event] = []
        while self._due and self._due[0][0] <= self._now:
            _, _, step, fails = heapq.heappop(self._due)
            if fails:
                self.failed += 1
                failed.append(StepFailed(step.node, step.step_id, "it did not work"))
            else:
                alike.setdefault(step.mutation, []).append(step.node)
                if step.mutation == "power.switch_on":
                    self._power[step.node] = "on"
        seen = [
            ObservedMany(names, self.graph.mutations[mutation].effects, "device")
            for mutation, names in alike.items()
        ]
        asked, self._asked = self._asked, []
        for state in ("on", "off"):
            nodes = [node for node in asked if self._power[node] == state]
            seen.append(ObservedMany(nodes, {"power.state": state}, "bmc"))
        return [*failed, *seen]


def classes(nodes: int) -> dict[str, Any]:
    """Nodes in 20 classes that differ in the services they should run."""
    graph = graph_of()
    fleet = Fleet(graph, nodes, 0.0)
    before = fleet.engine.planner.searches
    subsets = [[s for i, s in enumerate(SERVICES) if bits >> i & 1] for bits in range(20)]
    share = nodes // len(subsets)
    watch = Stopwatch()
    fleet.configure(
        (
            fleet.names[number * share : (number + 1) * share],
            {**RUN, **{f"{name}.state": "running" for name in subset}},
        )
        for number, subset in enumerate(subsets)
    )
    fleet.run(1000.0)
    assert not fleet.engine.differing()
    return {
        "nodes": nodes,
        "classes": len(subsets),
        "searches": fleet.engine.planner.searches - before,
        "steps": fleet.steps,
        "cpu_s": round(watch.cpu_s, 2),
    }


def storm(nodes: int, services: int, failing: float) -> dict[str, Any]:
    """Many services on each node, and a share of all steps fails."""
    names = [f"s{number:02}" for number in range(services)]
    fleet = Fleet(graph_of(names), nodes, failing)
    watch = Stopwatch()
    fleet.configure([(fleet.names, {**RUN, **{f"{name}.state": "running" for name in names}})])
    fleet.run(10_000.0)
    searches = fleet.engine.planner.searches
    left = fleet.engine.differing()
    phases = {fleet.engine.condition(name).phase for name in left}
    return {
        "nodes": nodes,
        "services": services,
        "steps": fleet.steps,
        "failed_steps": fleet.failed,
        "searches": searches,
        "searches_per_node": round(searches / nodes, 4),
        "nodes_not_converged": len(left),
        "phases_of_these": sorted(phases),
        "cpu_us_per_step": round(watch.cpu_s / fleet.steps * 1e6, 1),
    }


def cold(graph: Graph, goals: dict[str, str], times: int = 7) -> float:
    """Milliseconds for the first plan of a planner, from off, as a median."""
    compiled = graph.compiled
    start = [compiled.initial[v] or 1 for v in range(len(compiled.values))]
    for variable, value in compiled.assignment(OFF):
        start[variable] = value
    compiled.normalise(start)
    took: list[float] = []
    for _ in range(times):
        planner = Planner(compiled)
        began = time.perf_counter()
        plan = planner.plan(start, compiled.assignment(goals))
        took.append(time.perf_counter() - began)
        assert plan.proven and not plan.given_up
    return round(statistics.median(took) * 1000, 2)


def chain(length: int) -> Graph:
    """Services each of which needs the one before."""
    names = [f"s{number:02}" for number in range(length)]
    needs = [{}, *({f"{name}.state": "running"} for name in names)]
    modules = [service(name, need) for name, need in zip(names, needs, strict=False)]
    return Graph.of([*graph_of(()).modules.values(), *modules])


def plans() -> dict[str, Any]:
    """Cold plans, and what it is worth to keep them."""
    found: dict[str, Any] = {}
    for count in (10, 30):
        names = [f"s{number:02}" for number in range(count)]
        goals = {**RUN, **{f"{name}.state": "running" for name in names}}
        found[f"cold_{count}_services_ms"] = cold(graph_of(names), goals)
    goals = {**RUN, **{f"s{number:02}.state": "running" for number in range(30)}}
    found["cold_chain_of_30_ms"] = cold(chain(30), goals)
    names = [f"s{number:02}" for number in range(10)]
    graph = graph_of(names)
    wanted = graph.compiled.assignment({**RUN, **{f"{name}.state": "running" for name in names}})
    planner, state = Planner(graph.compiled), graph.compiled.nothing_known
    planner.plan(state, wanted)
    began = time.perf_counter()
    for _ in range(10_000):
        planner.plan(state, wanted)
    cached_s = (time.perf_counter() - began) / 10_000
    began = time.perf_counter()
    for _ in range(20):
        Planner(graph.compiled).plan(state, wanted)
    naive_s = (time.perf_counter() - began) / 20
    found["cached_us"] = round(cached_s * 1e6, 2)
    found["naive_us"] = round(naive_s * 1e6, 1)
    found["naive_to_cached"] = round(naive_s / cached_s)
    return found


def comparing(nodes: int) -> dict[str, Any]:
    """Which nodes are not as configured, when none, some or all differ."""
    fleet = Fleet(graph_of(()), nodes, 0.0)
    found: dict[str, Any] = {"nodes": nodes}
    for count in (0, nodes // 1000, nodes // 10, nodes):
        some = fleet.names[:count]
        if some:
            fleet.configure([(some, {"power.state": "on"})])
        assert len(fleet.engine.differing()) == count
        took: list[float] = []
        for _ in range(25):
            began = time.perf_counter()
            fleet.engine.differing()
            took.append(time.perf_counter() - began)
        found[f"{count}_differ_us"] = round(statistics.median(took) * 1e6, 1)
    return found
