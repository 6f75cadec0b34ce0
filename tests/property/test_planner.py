"""The planner against brute force, and its determinism, on thousands of random graphs."""

from __future__ import annotations

import os
import random

import pytest
from random_graphs import brute_force, random_goals, random_graph, random_modules, random_state

from kedge.core.compiled import Compiled
from kedge.core.graph import Graph
from kedge.core.planner import star
from kedge.core.planner.cache import Planner
from kedge.core.planner.order import Plan
from kedge.core.planner.search import Search
from kedge.core.planner.task import GIVE_UP, Goals, task_for
from kedge.lib.errors import KedgeError

SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))


def run(plan: Plan, order: list[int], start: tuple[int, ...]) -> tuple[int, ...]:
    """Carry the steps out in ``order``; every requirement must hold."""
    state = list(start)
    for place in order:
        step = plan.steps[place]
        assert all(state[v] in ok for v, ok in step.reads), step.name
        for variable, value in step.writes:
            state[variable] = value
    return tuple(state)


def some_order(rng: random.Random, plan: Plan) -> list[int]:
    """A random order that respects the partial order."""
    order: list[int] = []
    done = 0
    while len(order) < len(plan.steps):
        ready = [
            i for i in range(len(plan.steps)) if not done >> i & 1 and not plan.before[i] & ~done
        ]
        place = rng.choice(ready)
        order.append(place)
        done |= 1 << place
    return order


def price(compiled: Compiled, start: tuple[int, ...], goals: Goals, leaf_states: int) -> int:
    sizes = [len(values) for values in compiled.values]
    found = Search(star.decouple(task_for(compiled, goals, ()), sizes, leaf_states)).find(start)
    assert found.proven
    return found.price


@pytest.mark.parametrize("batch", range(10))
def test_plans_cost_what_brute_force_finds_and_every_order_of_them_works(batch: int) -> None:
    rng = random.Random(batch)
    for _ in range(60 * SCALE):
        graph = random_graph(rng, rng.randint(2, 5), rng.randint(3, 12))
        compiled = graph.compiled
        start, goals = random_state(rng, compiled), random_goals(rng, compiled)
        expected = brute_force(compiled, start, goals)
        for leaf_states in (1, 6, 64):
            assert price(compiled, start, goals, leaf_states) == expected
        plan = Planner(compiled).plan(start, goals)
        assert plan.cost == sum(step.cost for step in plan.steps)
        assert plan.cost + GIVE_UP * len(plan.given_up) == expected
        ends = {run(plan, some_order(rng, plan), start) for _ in range(4)}
        assert len(ends) == 1
        end = ends.pop()
        assert plan.given_up == tuple((v, g) for v, g in goals if end[v] != g)


def test_the_order_of_registration_cannot_matter() -> None:
    rng = random.Random(3)
    checked = 0
    while checked < 40 * SCALE:
        modules = random_modules(rng, rng.randint(3, 6), rng.randint(6, 20))
        try:
            graph = Graph.of(modules)
        except KedgeError:
            continue
        checked += 1
        start = random_state(rng, graph.compiled)
        goals = random_goals(rng, graph.compiled)
        plans: set[tuple[object, ...]] = set()
        for _ in range(10):
            rng.shuffle(modules)
            for module in modules:
                rng.shuffle(module.mutations)
            again = Graph.of(modules)
            plan = Planner(again.compiled).plan(start, goals)
            plans.add((*((s.name, s.writes) for s in plan.steps), plan.before, plan.cost))
        assert len(plans) == 1


def test_breaking_steps_come_after_all_that_can_be_done_before_them() -> None:
    rng = random.Random(4)
    seen = 0
    while seen < 50:
        graph = random_graph(rng, 5, 12)
        start, goals = random_state(rng, graph.compiled, 0), random_goals(rng, graph.compiled)
        plan = Planner(graph.compiled).plan(start, goals)
        for place in range(len(plan.steps)):
            if plan.breaking >> place & 1:
                for other in range(len(plan.steps)):
                    harmless = not (plan.breaking >> other & 1)
                    if harmless and not plan.before[other] & plan.breaking:
                        assert plan.before[place] >> other & 1
                        seen += 1
