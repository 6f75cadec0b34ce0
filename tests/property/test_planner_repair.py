"""Repairing a plan in one leaf: always a way to the goals, and hardly ever dearer than the optimum."""

from __future__ import annotations

import os
import random

from random_graphs import random_state
from test_planner import chain_modules, run

from kedge.core.compiled import Compiled
from kedge.core.graph import Graph
from kedge.core.planner.cache import Planner
from kedge.core.planner.order import Plan
from kedge.core.planner.task import Goals

SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))


def carried_out(rng: random.Random, plan: Plan, start: tuple[int, ...]) -> tuple[list[int], int]:
    """The state after a random part of the plan, and the mask of what was done."""
    state, done = list(start), 0
    for _ in range(rng.randint(0, len(plan.steps))):
        ready = plan.ready(done, 0)
        if ready:
            place = rng.choice(ready)
            done |= 1 << place
            for variable, value in plan.steps[place].writes:
                state[variable] = value
    return state, done


def surprise(rng: random.Random, compiled: Compiled, state: list[int]) -> list[int]:
    """One variable changes by itself; all that did."""
    before = list(state)
    variable = rng.randrange(len(state))
    if not compiled.broken(variable, state):
        state[variable] = rng.randrange(1, len(compiled.values[variable]))
        compiled.normalise(state)
    return [v for v in range(len(state)) if state[v] != before[v]]


def attempt(
    rng: random.Random, compiled: Compiled, start: tuple[int, ...], goals: Goals
) -> tuple[int, int] | None:
    """What the repaired and the best plan cost; None where nothing was repaired."""
    planner = Planner(compiled)
    plan = planner.plan(start, goals)
    state, done = carried_out(rng, plan, start)
    changed = surprise(rng, compiled, state)
    repaired = planner.repair(plan, done, state, goals, (), changed) if changed else None
    if repaired is None:
        return None
    end = run(repaired, list(range(len(repaired.steps))), tuple(state))
    assert all(end[v] == g for v, g in goals) and not repaired.given_up
    best = Planner(compiled).plan(state, goals)
    assert repaired.cost >= best.cost
    return repaired.cost, best.cost


def test_a_repaired_plan_reaches_the_goals_at_the_optimums_price() -> None:
    rng = random.Random(11)
    repaired = dearer = 0
    for _ in range(100 * SCALE):
        compiled = Graph.of(chain_modules(rng, rng.randint(4, 10), needs_most=0)).compiled
        goals = tuple((v, 2) for v in range(len(compiled.values)))
        for _ in range(5):
            found = attempt(rng, compiled, random_state(rng, compiled, 0.1), goals)
            if found is not None:
                repaired += 1
                dearer += found[0] > found[1]
    assert repaired > 30 * SCALE
    assert dearer <= repaired / 50
