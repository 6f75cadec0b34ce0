"""Nodes that take a step together do exactly what each would have done alone."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import asdict
from random_graphs import random_goals, random_graph, random_state

from fake_modules import modules
from kedge.core.engine import Engine, Settings
from kedge.core.events import (
    BudgetSet,
    ConfiguredMany,
    DiscoveryFailed,
    Effect,
    EndStep,
    Event,
    GroupLeased,
    Many,
    NodeRemoved,
    Observed,
    ObservedMany,
    Requested,
    Retried,
    StartDiscovery,
    StartStep,
    StepFailed,
    Tick,
    each,
)
from kedge.core.graph import Graph

SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))


class Driven:
    """An engine, and what it has in flight by node: told in places, not in ids, as these differ."""

    def __init__(self, graph: Graph, *, together: bool) -> None:
        self.engine = Engine(graph, seed=1, settings=Settings(together=together, attempts=3))
        self.flying: dict[str, list[StartStep]] = defaultdict(list)

    def tell(self, events: list[Event], now: float) -> dict[str, list[Any]]:
        """Effects by node, step ids replaced by the step's place among those in flight."""
        told: dict[str, list[Any]] = defaultdict(list)
        for found in self.engine.advance(events, now):
            for effect in each(found) if isinstance(found, Many) else (found,):
                told[effect.node].append(self._anonymous(effect))
        return told

    def _anonymous(self, effect: Effect) -> Any:
        words = asdict(effect)
        flying = self.flying[effect.node]
        if isinstance(effect, StartStep):
            flying.append(effect)
            words["step_id"] = len(flying)
        elif isinstance(effect, EndStep):
            place = next(i for i, s in enumerate(flying) if s.step_id == effect.step_id)
            del flying[place]
            words["step_id"] = place
        return type(effect).__name__, words


def random_event(
    rng: random.Random, graph: Graph, nodes: list[str], two: list[Driven], calm: float
) -> Any:
    """The same event for both; a list of two where it names a step."""
    compiled = graph.compiled
    some = rng.sample(nodes, rng.randint(1, len(nodes)))
    what = rng.random() * calm
    node = some[0]
    flying = two[0].flying[node]
    if what < 0.2:  # what was asked is answered alike
        shown = two[0].engine.condition(node).discovered if node in two[0].engine.nodes() else {}
        unknown = [v for v, symbol in shown.items() if symbol == "unknown"]
        base = compiled.symbols(random_state(random.Random(compiled.name(0)), compiled, 0))
        if unknown:
            return [ObservedMany(some, {v: base[v] for v in unknown}, "device")]
    if what < 0.45:
        groups: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
        for name in some:  # most steps have their effect
            if two[0].flying[name]:
                step = rng.choice(two[0].flying[name])
                groups[tuple(graph.mutations[step.mutation].effects.items())].append(name)
        return [
            ObservedMany(names, dict(values), "device") for values, names in groups.items()
        ] or [Tick()]
    if what < 0.75:
        state = random_state(rng, compiled, 0.2)
        chosen = rng.sample(range(len(state)), rng.randint(1, len(state)))
        values = {compiled.name(v): compiled.symbol(v, state[v]) for v in chosen}
        fresh = rng.random() < 0.9
        if rng.random() < 0.5:
            return [ObservedMany(some, values, "device", fresh)]
        return [Observed(name, values, "device", fresh) for name in some]
    if what < 0.8 and flying:
        place = rng.randrange(len(flying))
        permanent = rng.random() < 0.2
        return [[StepFailed(node, d.flying[node][place].step_id, "no", "", permanent)] for d in two]
    if what < 0.85:
        asks = [a.discovery.name for a in compiled.asks]
        return [DiscoveryFailed(node, rng.choice(asks), "deaf")] if asks else [Tick()]
    if what < 0.93:
        goals = compiled.named(random_goals(rng, compiled))
        hold = "a person works on it" if rng.random() < 0.15 else ""
        group = rng.choice(["g1", "g2"])
        limits = (("b", "rack1"),) if rng.random() < 0.3 else ()
        spans = (("out", "rack1"),) if rng.random() < 0.2 else ()
        prints = [rng.choice(["", "f1", f"f{name}"]) for name in some]
        owner = "sm1" if rng.random() < 0.15 else ""
        kind = rng.choice("ab")
        return [ConfiguredMany(some, goals, prints, hold, group, kind, limits, spans, owner)]
    if what < 0.94:
        return [GroupLeased(rng.choice(["g1", "g2"]), rng.choice(["", "no lease"]))]
    if what < 0.96:
        return [Retried(node)]
    if what < 0.98:
        return [Requested(node, compiled.named(random_goals(rng, compiled)), f"r{rng.random()}")]
    return [NodeRemoved(node)]


@pytest.mark.parametrize("batch", range(12))
def test_together_is_as_alone(batch: int) -> None:
    rng = random.Random(7000 + batch)
    followed = 0
    for _ in range(12 * SCALE):
        graph = random_graph(rng, rng.randint(2, 5), rng.randint(3, 12), always=True)
        if rng.random() < 0.3:
            graph = Graph.of(modules())
        elif rng.random() < 0.4:
            budgeted = {
                name: replace(m, budgets=("b",)) if rng.random() < 0.5 else m
                for name, m in graph.mutations.items()
            }
            graph = with_mutations(graph, budgeted)
        two = [Driven(graph, together=True), Driven(graph, together=False)]
        nodes = [f"n{i}" for i in range(rng.randint(1, 9))]
        calm = rng.choice((0.46, 0.5, 1))
        now = 0.0
        for driven in two:
            driven.tell([BudgetSet("b", "rack1", 2), BudgetSet("out", "rack1", 1, True)], now)
        goals = graph.compiled.named(random_goals(rng, graph.compiled))
        now = 1.0
        begin: list[Event] = [ConfiguredMany(nodes, goals, ["f"] * len(nodes), group="g1")]
        told = [driven.tell(begin, now) for driven in two]
        assert told[0] == told[1]
        for _ in range(60):
            due = two[0].engine.next_timeout()
            assert due == two[1].engine.next_timeout()
            now = due if due is not None and rng.random() < 0.4 else now + rng.uniform(0, 3)
            events = random_event(rng, graph, nodes, two, calm)
            if rng.random() < 0.3:  # several at once, about some nodes twice
                more = random_event(rng, graph, nodes, two, calm)
                if not isinstance(events[0], list) and not isinstance(more[0], list):
                    events = [*events, *more]
            both = events if isinstance(events[0], list) else [events, events]
            told = [d.tell(e, now) for d, e in zip(two, both, strict=True)]
            assert told[0] == told[1]
            known = [driven.engine.nodes() for driven in two]
            assert known[0] == known[1]
            for node in known[0]:
                seen = [anonymous(driven.engine.condition(node)) for driven in two]
                assert seen[0] == seen[1]
            assert two[0].engine.differing() == two[1].engine.differing()
        followed += two[0].engine.followed
        assert two[1].engine.followed == 0
    assert followed > 40, "hardly anything was done together"


def anonymous(condition: Any) -> Any:
    return replace(condition, running=tuple(replace(r, step_id="") for r in condition.running))


def with_mutations(graph: Graph, mutations: dict[str, Any]) -> Graph:
    from kedge.core.module import Module

    module = Module("m", summary="")
    module.variables = list(graph.variables.values())
    module.mutations = list(mutations.values())
    module.discoveries = list(graph.discoveries.values())
    return Graph.of([module])


def test_starting_a_discovery_is_an_effect_of_many_nodes() -> None:
    rng = random.Random(3)
    graph = random_graph(rng, 3, 6, always=True)
    goals = graph.compiled.named(random_goals(rng, graph.compiled))
    engine = Engine(graph, seed=1)
    nodes = [f"n{i}" for i in range(100)]
    found = engine.advance([ConfiguredMany(nodes, goals, [""] * 100)], 0.0)
    many = [e for e in found if isinstance(e, Many)]
    assert many and any(isinstance(e, StartDiscovery) for m in many for e in m.effects)
    assert sum(len(m.nodes) for m in many) == 99
