"""The planner against brute force, and its determinism, on thousands of random graphs."""

from __future__ import annotations

import os
import random

import pytest
from random_graphs import brute_force, random_goals, random_graph, random_modules, random_state

from kedge.core.compiled import Compiled
from kedge.core.graph import Graph
from kedge.core.kinds import Enum
from kedge.core.module import Module
from kedge.core.planner import relax, star
from kedge.core.planner.cache import Planner
from kedge.core.planner.order import Plan
from kedge.core.planner.search import Search
from kedge.core.planner.task import GIVE_UP, Goals, task_for
from kedge.core.variable import Variable
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


def relaxed_price(compiled: Compiled, start: tuple[int, ...], goals: Goals) -> int:
    """Relax and check wherever it can be, with leaves of single variables."""
    sizes = [len(values) for values in compiled.values]
    task = task_for(compiled, goals, ())

    def search(dropped: relax.Dropped) -> Search:
        return Search(star.decouple(relax.relaxed(task, dropped), sizes, 1))

    every = relax.droppable(search(frozenset()).star, [1000 for _ in sizes])
    found = relax.solve(compiled, start, every, search, 20_000)
    assert found.proven
    state = list(start)
    for number in found.actions:
        action = compiled.actions[number]
        assert all(state[v] in ok for v, ok in action.reads), action.name
        for variable, value in action.writes:
            state[variable] = value
    given_up = sum(state[v] != g for v, g in goals)
    cost = sum(compiled.actions[number].cost for number in found.actions)
    assert found.price == cost + GIVE_UP * given_up
    return found.price


def chain_modules(rng: random.Random, length: int, needs_most: int = 2) -> list[Module]:
    """Services on one base, each needing some of those before it."""
    base = Module("base", summary="")
    power = base.variable("power", Enum(("off", "on")), configured=True)
    base.listens(power, timeout_s=60)
    base.edge("on", {power: "on"}, where="head", requires={power: "off"}, cost_s=5)
    base.edge("off", {power: "off"}, where="head", requires={power: "on"}, cost_s=9)
    modules, made = [base], list[Variable]()
    for number in range(length):
        module = Module(f"s{number:02}", summary="")
        state = module.variable(
            "state",
            Enum(("stopped", "running", "failed")),
            configured=True,
            while_={power: "on"},
            initial="stopped",
        )
        module.listens(state, timeout_s=60, requires={power: "on"})
        needs = dict.fromkeys(
            rng.sample(made, min(len(made), rng.randint(0, needs_most))), "running"
        )
        start_needs: dict[Variable | str, str] = {state: "stopped", **needs}
        module.edge("start", {state: "running"}, where="node", requires=start_needs, cost_s=3)
        stop_needs: dict[Variable | str, str] = {state: "running"}
        if made and needs_most and rng.random() < 0.3:
            stop_needs[rng.choice(made)] = "stopped"
        module.edge("stop", {state: "stopped"}, where="node", requires=stop_needs, cost_s=2)
        if rng.random() < 0.5:
            module.edge("mend", {state: "stopped"}, where="node", requires={state: "failed"})
        made.append(state)
        modules.append(module)
    return modules


@pytest.mark.parametrize("batch", range(4))
def test_chains_of_services_cost_what_brute_force_finds(batch: int) -> None:
    rng = random.Random(500 + batch)
    for _ in range(100 * SCALE):
        compiled = Graph.of(chain_modules(rng, rng.randint(2, 5))).compiled
        start = random_state(rng, compiled, rng.choice((0, 0.3)))
        goals = random_goals(rng, compiled, 6)
        expected = brute_force(compiled, start, goals)
        assert relaxed_price(compiled, start, goals) == expected
        assert price(compiled, start, goals, 64) == expected


def test_a_chain_of_thirty_takes_few_expansions() -> None:
    compiled = Graph.of(chain_modules(random.Random(1), 30)).compiled
    goals = compiled.assignment({v.name: v.domain[-1] for v in compiled.variables})
    goals = tuple((v, 2) for v, _ in goals)
    for start in (compiled.nothing_known, tuple(compiled.normalise([1] * 31))):
        plan = Planner(compiled, expansions=300).plan(start, goals)
        assert plan.proven and not plan.given_up


@pytest.mark.parametrize("batch", range(10))
def test_plans_cost_what_brute_force_finds_and_every_order_of_them_works(batch: int) -> None:
    rng = random.Random(batch)
    for _ in range(200 * SCALE):
        graph = random_graph(rng, rng.randint(2, 5), rng.randint(3, 12))
        compiled = graph.compiled
        start, goals = random_state(rng, compiled), random_goals(rng, compiled)
        expected = brute_force(compiled, start, goals)
        for leaf_states in (1, 6, 64):
            assert price(compiled, start, goals, leaf_states) == expected
        assert relaxed_price(compiled, start, goals) == expected
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
