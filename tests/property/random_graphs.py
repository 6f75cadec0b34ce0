"""Random modules for the planner's and engine's properties, and an oracle that plans by brute force."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

from kedge.core.compiled import Compiled
from kedge.core.graph import Graph
from kedge.core.kinds import Enum
from kedge.core.module import Module
from kedge.core.planner.task import GIVE_UP, Goals
from kedge.core.variable import Variable
from kedge.lib.errors import KedgeError


def random_modules(
    rng: random.Random, variables: int, mutations: int, *, always: bool = False
) -> list[Module]:
    """Modules whose graph may be refused; every variable is discovered by listening (``always``:
    whatever the others are)."""
    made: list[Variable] = []
    modules: list[Module] = []
    for number in range(variables):
        module = Module(f"m{rng.randrange(1000):03}x{number}", summary="")
        symbols = tuple(f"s{i}" for i in range(rng.randint(2, 4)))
        guard: dict[Variable | str, list[str]] = {}
        if made and rng.random() < 0.35:
            parent = rng.choice(made)
            guard[parent] = rng.sample(list(parent.domain[1:]), rng.randint(1, 2))
        initial = rng.choice((*symbols, None)) if guard else None
        variable = module.variable("v", Enum(symbols), while_=guard, initial=initial)
        module.listens(
            variable, timeout_s=60, requires=None if always else _condition(rng, made, 0, 1)
        )
        made.append(variable)
        modules.append(module)
    for number in range(mutations):
        module = rng.choice(modules)
        effects = {v: rng.choice(v.domain[1:]) for v in rng.sample(made, rng.choice((1, 1, 1, 2)))}
        module.edge(
            f"e{number}",
            effects,
            where="head",
            requires=_condition(rng, made, 0, 3),
            excludes=_condition(rng, made, 0, 1) if rng.random() < 0.2 else None,
            cost_s=rng.randint(1, 9),
            destructive=rng.random() < 0.2,
        )
    return modules


def _condition(
    rng: random.Random, variables: Sequence[Variable], least: int, most: int
) -> dict[Variable | str, list[str]]:
    count = min(len(variables), rng.randint(least, most))
    found: dict[Variable | str, list[str]] = {}
    for variable in rng.sample(list(variables), count):
        symbols = variable.domain if rng.random() < 0.1 else variable.domain[1:]
        found[variable] = rng.sample(list(symbols), rng.randint(1, len(symbols) - 1))
    return found


def random_graph(
    rng: random.Random, variables: int, mutations: int, *, always: bool = False
) -> Graph:
    """A graph that registration accepts."""
    while True:
        try:
            return Graph.of(random_modules(rng, variables, mutations, always=always))
        except KedgeError:
            continue


def random_state(rng: random.Random, compiled: Compiled, unknown: float = 0.2) -> tuple[int, ...]:
    """A normalised state."""
    state = [
        0 if rng.random() < unknown else rng.randrange(1, len(values)) for values in compiled.values
    ]
    return tuple(compiled.normalise(state))


def random_goals(rng: random.Random, compiled: Compiled, most: int = 3) -> Goals:
    """Goals that no guard contradicts."""
    count = rng.randint(1, min(most, len(compiled.variables)))
    chosen = rng.sample(range(len(compiled.variables)), count)
    return tuple(sorted((v, rng.randrange(1, len(compiled.values[v]))) for v in chosen))


def brute_force(compiled: Compiled, start: Sequence[int], goals: Goals) -> int:
    """The least price from ``start``, by uniform cost over whole states and *uncompiled* effects.

    Effects are applied as declared and then reset by ``normalise``, so that closing mutations under
    resets is checked as well.
    """
    hard = [(v, g) for v, g in goals if start[v] == g]
    soft = [(v, g) for v, g in goals if start[v] != g]
    prices = {tuple(start): 0}
    heap = [(0, tuple(start))]
    best = 1 << 62
    while heap:
        price, state = heapq.heappop(heap)
        if price > prices[state]:
            continue
        if all(state[v] == g for v, g in hard):
            best = min(best, price + GIVE_UP * sum(state[v] != g for v, g in soft))
        for action in compiled.actions:
            if all(state[v] in ok for v, ok in action.reads):
                after = list(state)
                for variable, value in action.own:
                    after[variable] = value
                compiled.normalise(after)
                key = tuple(after)
                if price + action.cost < prices.get(key, 1 << 62):
                    prices[key] = price + action.cost
                    heapq.heappush(heap, (prices[key], key))
    return best
