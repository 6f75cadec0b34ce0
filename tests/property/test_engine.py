"""The engine in a faulty world: what must never happen, and that it arrives when the faults stop."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from random_graphs import random_goals, random_graph, random_state
from truths import Truth

from fake_modules import modules
from kedge.core.events import BudgetSet, Retried
from kedge.core.graph import Graph
from kedge.core.planner.cache import Planner

SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))


def ending(world: Truth, node: str) -> str:
    """One word for how a node ended, checked against the truth."""
    condition = world.engine.condition(node)
    truth = world.state[node]
    met = all(truth[v] == g for v, g in world.goals[node])
    plan = Planner(world.compiled).plan(truth, world.goals[node])
    hopes = any(step.discovery >= 0 for step in plan.steps)
    if met:
        assert condition.phase == "converged", (condition, world.compiled.symbols(truth))
    else:
        assert plan.given_up or hopes, (condition, world.compiled.symbols(truth))
        assert condition.phase in ("blocked", "quarantined"), condition
    return condition.phase


def storm(world: Truth, rng: random.Random, nodes: list[str], rounds: int) -> None:
    """Faults, changes, holds, new goals, crashes."""
    for _ in range(rounds):
        world.run(rng.uniform(0.1, 120))
        node = rng.choice(nodes)
        what = rng.random()
        if what < 0.3:
            variable = rng.randrange(len(world.state[node]))
            if not world.compiled.broken(variable, world.state[node]):
                world.change(node, variable, rng.randrange(1, len(world.compiled.values[variable])))
        elif what < 0.4:
            world.held[node] = "" if world.held[node] else "a person works on it"
            world.configure(node)
        elif what < 0.5:
            world.crash()
        elif what < 0.55:
            world.tell(Retried(node))


def heal(world: Truth, nodes: list[str]) -> None:
    """The faults stop, and a person lets everything be tried again."""
    world.faults = 0.0
    world.run(5000)
    for node in nodes:
        world.held[node] = ""
        world.configure(node)
        world.tell(Retried(node))
    world.run(40_000)


@pytest.mark.parametrize("seed", range(30 * SCALE))
def test_the_first_modules_in_a_faulty_world(seed: int) -> None:
    rng = random.Random(seed)
    world = Truth(Graph.of(modules()), rng, rng.choice((0, 0.1, 0.4)))
    compiled = world.compiled
    nodes = [f"n{i}" for i in range(3)]
    world.tell(BudgetSet("inrush", "rack", 1))
    for node in nodes:
        wanted = {"power.state": "on", "image.running": "wanted"}
        goals = world.graph.meaningful(
            wanted if rng.random() < 0.8 else {**wanted, "power.state": "off"}
        )
        world.add(node, random_state(rng, compiled, 0), compiled.assignment(goals))
    storm(world, rng, nodes, 30)
    heal(world, nodes)
    assert [ending(world, node) for node in nodes] == ["converged"] * 3
    world.talk = steps = 0
    steps = world.steps
    world.run(3600)
    assert world.steps == steps, "a converged node was touched"
    assert world.talk < 3 * 3600 / 30 * 4 + 3 * 3600 / 60 * 4, "a converged node is not quiet"


@pytest.mark.parametrize("batch", range(4))
def test_every_node_comes_to_an_end_that_it_names_though_the_faults_do_not_stop(batch: int) -> None:
    rng = random.Random(3000 + batch)
    endings: Counter[str] = Counter()
    for _ in range(20 * SCALE):
        graph = random_graph(rng, rng.randint(2, 5), rng.randint(3, 12), always=True)
        world = Truth(graph, rng, rng.choice((0.3, 0.6, 0.9)))
        nodes = ["n1", "n2", "n3"]
        for node in nodes:
            goals = world.compiled.named(random_goals(rng, world.compiled))
            goals = world.compiled.assignment(graph.meaningful(goals))
            world.add(node, random_state(rng, world.compiled, 0), goals)
        storm(world, rng, nodes, 8)
        world.run(50_000)
        before = world.steps
        world.run(20_000)
        assert world.steps == before, "something goes on without end"
        for node in nodes:
            condition = world.engine.condition(node)
            endings[condition.phase] += 1
            if condition.phase == "waiting":
                assert condition.why.startswith(("for ", "to ", "on ", "with ")), condition
                assert "please report" not in condition.why, condition
            else:
                assert condition.phase in ("converged", "held", "blocked", "quarantined")
                assert condition.why, condition
            if condition.phase in ("quarantined", "held", "blocked"):
                assert node in condition.next, "it says what to do"
    assert all(endings[phase] for phase in ("converged", "held", "blocked")), endings
    assert endings["quarantined"] or batch, endings


@pytest.mark.parametrize("batch", range(10))
def test_random_graphs_in_a_faulty_world(batch: int) -> None:
    rng = random.Random(1000 + batch)
    endings: set[str] = set()
    for _ in range(6 * SCALE):
        graph = random_graph(rng, rng.randint(2, 5), rng.randint(3, 12), always=True)
        world = Truth(graph, rng, rng.choice((0, 0.1, 0.4)))
        nodes = ["n1", "n2"]
        for node in nodes:
            goals = random_goals(rng, world.compiled)
            named = world.compiled.named(goals)
            goals = world.compiled.assignment(graph.meaningful(named))
            world.add(node, random_state(rng, world.compiled, 0), goals)
        storm(world, rng, nodes, 15)
        heal(world, nodes)
        endings |= {ending(world, node) for node in nodes}
    assert "converged" in endings
