"""An engine that goes over to another graph while nodes move: nothing is reset, nothing begins again."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from random_graphs import random_goals, random_graph, random_state
from test_engine import ending, heal, storm
from test_together import Driven, anonymous, random_event
from truths import Truth

from fake_modules import modules
from kedge.core.engine.translation import Translation, equivalent
from kedge.core.events import (
    BudgetSet,
    ConfiguredMany,
    EndStep,
    Event,
    Many,
    ObservedMany,
    StartStep,
    each,
)
from kedge.core.graph import Graph
from kedge.core.kinds import Enum
from kedge.core.module import Module
from kedge.core.mutation import Mutation
from kedge.core.variable import Variable
from kedge.lib.errors import KedgeError

SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))


def graph_of(variables: list[Variable], mutations: list[Mutation], like: Graph) -> Graph:
    module = Module("m", summary="")
    module.variables, module.mutations = variables, mutations
    names = {variable.name for variable in variables}
    module.discoveries = [
        replace(
            d, variables=tuple(n for n in d.variables if n in names), requires={}, on_timeout={}
        )
        for d in like.discoveries.values()
        if names & {*d.variables}
    ]
    known = {name for d in module.discoveries for name in d.variables}
    left = [v for v in variables if v.name not in known]
    if left:
        module.listens(*left, timeout_s=40, name=f"listen{len(module.discoveries)}")
    return Graph.of([module])


def changed(rng: random.Random, graph: Graph, *, variables: bool) -> Graph:
    """Another graph that has something in common with ``graph``."""
    for _ in range(200):
        kept = list(graph.variables.values())
        if variables:
            kept = [v for v in kept if rng.random() < 0.8]
            kept = [_other_domain(rng, v) for v in kept]
            if rng.random() < 0.5:
                kept.append(Variable(f"new.v{rng.randrange(9)}", Enum(("s0", "s1"))))
        edges = [_other(rng, m) for m in graph.mutations.values() if rng.random() < 0.85]
        for number in range(rng.randint(0, 3)):
            variable = rng.choice(kept) if kept else None
            if variable is not None:
                effects = {variable.name: rng.choice(variable.domain[1:])}
                edges.append(Mutation(f"new.e{rng.randrange(99)}x{number}", effects, cost_s=2))
        try:
            return graph_of(kept, edges, graph)
        except KedgeError:
            continue
    return graph


def _other_domain(rng: random.Random, variable: Variable) -> Variable:
    if rng.random() < 0.85 or not isinstance(variable.kind, Enum):
        return variable
    values = sorted({*variable.kind.values, "s9"})
    values.sort(key=lambda value: (rng.random(), value))
    return replace(variable, kind=Enum(tuple(values)))


def _other(rng: random.Random, mutation: Mutation) -> Mutation:
    what = rng.random()
    if what < 0.2:
        return replace(mutation, cost_s=rng.randint(1, 9))
    if what < 0.3:
        return replace(mutation, timeout_s=rng.choice((5.0, 90.0)))
    if what < 0.4:
        return replace(mutation, requires={})
    if what < 0.45:
        return replace(mutation, effects=dict(list(mutation.effects.items())[:1]))
    if what < 0.55:
        return replace(mutation, budgets=("b",))
    return mutation


def told_by(driven: Driven, found: list[Any]) -> dict[str, list[Any]]:
    told: dict[str, list[Any]] = defaultdict(list)
    for many in found:
        for effect in each(many) if isinstance(many, Many) else (many,):
            told[effect.node].append(driven._anonymous(effect))
    return told


def begin(rng: random.Random, graph: Graph, two: list[Driven], nodes: list[str]) -> None:
    for driven in two:
        driven.tell([BudgetSet("b", "rack1", 2), BudgetSet("out", "rack1", 1, True)], 0.0)
    goals = graph.compiled.named(random_goals(rng, graph.compiled))
    first: list[Event] = [ConfiguredMany(nodes, goals, ["f"] * len(nodes), group="g1")]
    told = [driven.tell(first, 1.0) for driven in two]
    assert told[0] == told[1]


def go_on(
    rng: random.Random, graph: Graph, two: list[Driven], nodes: list[str], now: float, rounds: int
) -> float:
    """Random events, the same for both, which must do and show the same."""
    calm = rng.choice((0.46, 0.46, 1.0))
    for _ in range(rounds):
        due = two[0].engine.next_timeout()
        assert due == two[1].engine.next_timeout()
        now = due if due is not None and rng.random() < 0.4 else now + rng.uniform(0, 3)
        events = random_event(rng, graph, nodes, two, calm)
        both = events if isinstance(events[0], list) else [events, events]
        told = [d.tell(e, now) for d, e in zip(two, both, strict=True)]
        assert told[0] == told[1]
        alike(two)
    return now


def set_off(
    rng: random.Random, graph: Graph, two: list[Driven], nodes: list[str], now: float
) -> None:
    """All nodes are seen whole and wanted elsewhere, so that most are under way."""
    compiled = graph.compiled
    state = compiled.symbols(random_state(rng, compiled, 0))
    goals = compiled.named(random_goals(rng, compiled))
    some = rng.sample(nodes, rng.randint(1, len(nodes)))
    events: list[Event] = [
        ConfiguredMany(some, goals, ["g"] * len(some), group="g1", limits=(("b", "rack1"),)),
        ObservedMany(some, state, "device"),
    ]
    told = [driven.tell(events, now) for driven in two]
    assert told[0] == told[1]


def alike(two: list[Driven]) -> None:
    known = [driven.engine.nodes() for driven in two]
    assert known[0] == known[1]
    for node in known[0]:
        seen = [anonymous(driven.engine.condition(node)) for driven in two]
        assert seen[0] == seen[1]
    assert two[0].engine.differing() == two[1].engine.differing()


@pytest.mark.parametrize("batch", range(6))
def test_the_same_graph_again_has_no_effect_and_the_same_future(batch: int) -> None:
    rng = random.Random(500 + batch)
    for _ in range(8 * SCALE):
        graph = random_graph(rng, rng.randint(2, 5), rng.randint(3, 12), always=True)
        graph = Graph.of(modules()) if rng.random() < 0.3 else graph
        two = [Driven(graph, together=True), Driven(graph, together=True)]
        nodes = [f"n{i}" for i in range(rng.randint(1, 6))]
        begin(rng, graph, two, nodes)
        now = 1.0
        for _ in range(3):
            now = go_on(rng, graph, two, nodes, now, 15)
            again = Graph.of(graph.modules.values())
            assert again is not graph and equivalent(graph.compiled, again.compiled)
            assert two[0].engine.adopt(again, [], now) == []
            alike(two)


@pytest.mark.parametrize("batch", range(4))
def test_what_survives_goes_on_and_going_over_together_is_as_alone(batch: int) -> None:
    rng = random.Random(900 + batch)
    dropped = kept = 0
    for _ in range(25 * SCALE):
        graph = random_graph(rng, rng.randint(2, 5), rng.randint(3, 12), always=True)
        two = [Driven(graph, together=True), Driven(graph, together=False)]
        nodes = [f"n{i}" for i in range(rng.randint(1, 8))]
        begin(rng, graph, two, nodes)
        now = 1.0
        for _ in range(3):
            now = go_on(rng, graph, two, nodes, now, rng.randint(4, 25))
            if rng.random() < 0.8:
                set_off(rng, graph, two, nodes, now)
            other = changed(rng, graph, variables=rng.random() < 0.6)
            counts = _goes_over(graph, other, two, now)
            dropped, kept, graph = dropped + counts[0], kept + counts[1], other
        go_on(rng, graph, two, nodes, now, 20)
    assert dropped and kept > 40, (dropped, kept)


def _goes_over(graph: Graph, other: Graph, two: list[Driven], now: float) -> tuple[int, int]:
    engine = two[0].engine
    lasting = Translation(graph.compiled, other.compiled).lasting
    names = {graph.compiled.actions[number].name for number in lasting}
    before = {node: engine.condition(node) for node in engine.nodes()}
    found = engine.adopt(other, [], now)
    single = [e for f in found for e in (each(f) if isinstance(f, Many) else (f,))]
    flying = {(n, r.mutation, r.step_id) for n, c in before.items() for r in c.running}
    ended = {(e.node, e.mutation, e.step_id) for e in single if isinstance(e, EndStep)}
    assert ended == {step for step in flying if step[1] not in names}, "what survives goes on"
    begun = {(e.node, e.mutation, e.step_id) for e in single if isinstance(e, StartStep)}
    now_flying = {(n, r.mutation, r.step_id) for n in before for r in engine.condition(n).running}
    assert now_flying == (flying - ended) | begun
    assert not begun & flying
    for node, was in before.items():
        is_now = engine.condition(node)
        for name, symbol in was.discovered.items():
            if name in other.compiled.number:
                domain = other.variables[name].domain
                assert is_now.discovered[name] == (symbol if symbol in domain else "unknown")
    told = [told_by(two[0], found), told_by(two[1], two[1].engine.adopt(other, [], now))]
    assert told[0] == told[1]
    alike(two)
    return len(ended), len(flying - ended)


@pytest.mark.parametrize("batch", range(6))
def test_nodes_arrive_whatever_modules_change_on_the_way(batch: int) -> None:
    rng = random.Random(3000 + batch)
    for _ in range(5 * SCALE):
        graph = random_graph(rng, rng.randint(2, 5), rng.randint(4, 12), always=True)
        world = Truth(graph, rng, rng.choice((0, 0.2)))
        nodes = ["n1", "n2"]
        for node in nodes:
            named = world.compiled.named(random_goals(rng, world.compiled))
            goals = world.compiled.assignment(graph.meaningful(named))
            world.add(node, random_state(rng, world.compiled, 0), goals)
        for _ in range(4):
            storm(world, rng, nodes, 5)
            other = changed(rng, world.graph, variables=False)
            world.graph, world.compiled = other, other.compiled
            for found in world.engine.adopt(other, [], world.now):
                for effect in each(found) if isinstance(found, Many) else (found,):
                    world._do(effect)
        heal(world, nodes)
        for node in nodes:
            ending(world, node)
