"""Learned costs: when what was measured replaces what was declared, and when it changes nothing."""

from __future__ import annotations

import json

import pytest
from worlds import UP, World

from kedge.core.engine.costs import LEAST_RUNS, RECENT, Costs
from kedge.core.events import Observed, StepFailed
from kedge.core.graph import Graph
from kedge.core.kinds import Enum
from kedge.core.module import Module
from kedge.core.planner.cache import Planner
from kedge.core.planner.order import Plan


def two_ways(surcharge_s: int = 0) -> list[Module]:
    """A door that opens in two ways, of which *quick* is declared to be the quicker."""
    door = Module("door", summary="")
    state = door.variable("state", Enum(("shut", "open")), configured=True)
    door.listens(state, timeout_s=60)
    door.edge("quick", {state: "open"}, where="head", requires={state: "shut"}, cost_s=10)
    door.edge(
        "slow", {state: "open"}, where="head", requires={state: "shut"}, cost_s=20,
        surcharge_s=surcharge_s,
    )  # fmt: skip
    return [door]


def way(plan: Plan) -> str:
    (step,) = plan.steps
    return step.name


def test_what_is_measured_replaces_what_is_declared_after_three_runs() -> None:
    graph = Graph.of(two_ways())
    costs, planner = Costs(graph.compiled), Planner(graph.compiled)
    quick = graph.compiled.mutation_actions["door.quick"].number
    goals = graph.compiled.assignment({"door.state": "open"})
    for number in range(LEAST_RUNS):
        assert way(planner.plan((1,), goals, (), costs.table("a"))) == "door.quick", number
        costs.measured("a", quick, [100.0])
    plan = planner.plan((1,), goals, (), costs.table("a"))
    assert (way(plan), plan.cost) == ("door.slow", 20)
    other = planner.plan((1,), goals, (), costs.table("b"))
    assert (way(other), other.cost) == ("door.quick", 10)


def test_a_surcharge_is_added_to_what_was_measured() -> None:
    graph = Graph.of(two_ways(surcharge_s=50))
    costs, planner = Costs(graph.compiled), Planner(graph.compiled)
    numbers = graph.compiled.mutation_actions
    goals = graph.compiled.assignment({"door.state": "open"})
    costs.measured("a", numbers["door.slow"].number, [2.0] * 5)
    costs.measured("a", numbers["door.quick"].number, [40.0] * 5)
    assert way(planner.plan((1,), goals, (), costs.table("a"))) == "door.quick"
    costs.measured("a", numbers["door.quick"].number, [80.0] * RECENT)
    plan = planner.plan((1,), goals, (), costs.table("a"))
    assert (way(plan), plan.cost) == ("door.slow", 52)


def test_small_drifts_change_nothing_and_a_lasting_change_does() -> None:
    compiled = Graph.of(two_ways()).compiled
    costs = Costs(compiled)
    costs.measured("a", 0, [30.0] * 3)
    table, version = costs.table("a"), costs.version
    for drift in (1.15, 0.87, 1.2, 0.83):
        costs.measured("a", 0, [30.0 * drift] * RECENT)
        assert costs.table("a") is table and costs.version == version
    costs.measured("a", 0, [500.0] * 3)  # a few that took long are not the rule
    assert costs.table("a") is table
    costs.measured("a", 0, [60.0] * RECENT)
    assert costs.table("a") is not table and costs.version == version + 1
    costs.measured("a", 0, [30.0] * RECENT)
    assert costs.table("a") is table, "the same costs are the same table, so its plans still count"


def test_classes_that_take_the_same_time_share_their_plans() -> None:
    graph = Graph.of(two_ways())
    costs, planner = Costs(graph.compiled), Planner(graph.compiled)
    goals = graph.compiled.assignment({"door.state": "open"})
    for number in range(20):
        costs.measured(f"class {number}", 0, [30.0 + number / 10] * 4)
        planner.plan((1,), goals, (), costs.table(f"class {number}"))
    assert planner.searches == 1


def test_many_durations_at_once_are_worth_as_much_as_one_by_one() -> None:
    compiled = Graph.of(two_ways()).compiled
    once, single = Costs(compiled), Costs(compiled)
    durations = [20.0 + number % 7 for number in range(5000)]
    once.measured("a", 0, durations)
    for duration in durations:
        single.measured("a", 0, [duration])
    (one,), (other,) = once.rows(), single.rows()
    assert one.runs == other.runs == 5000
    assert one.learned_s == other.learned_s == 22
    assert one.median_s == pytest.approx(other.median_s, abs=2)


def test_costs_survive_as_json_by_name() -> None:
    compiled = Graph.of(two_ways()).compiled
    costs = Costs(compiled)
    costs.measured("a", 1, [7.7] * 5)
    costs.measured("", 0, [3.25] * 2)
    kept = json.loads(json.dumps(costs.export()))
    assert set(kept["a"]) == {"door.slow"}
    kept["a"]["door.gone"] = kept["a"]["door.slow"]
    again = Costs(compiled)
    again.restore(kept)
    assert again.rows() == costs.rows()
    assert again.table("a").costs == costs.table("a").costs
    assert again.table("a").durations_s[:2] == (10, 7)
    assert again.export() == costs.export()


def boot(world: World, *, loads_s: float, node: str = "n1") -> None:
    """From off to running; `boot.load` takes ``loads_s``."""
    world.configure(node, hardware_class="old")
    world.see(node, power_state="off", image_ready="ready")
    world.see(node, after=2, power_state="on", boot_stage="none")
    world.see(node, after=loads_s, boot_stage="layer0")
    world.see(node, after=2, boot_stage="running", image_running="wanted")
    assert world.condition(node).phase == "converged", world.condition(node)


def test_the_engine_measures_what_was_done_and_not_what_failed() -> None:
    world = World()
    for number in range(3):
        boot(world, loads_s=70, node=f"n{number}")
    rows = {(r.hardware_class, r.mutation): r for r in world.engine.costs()}
    assert rows["old", "boot.load"].runs == 3
    assert rows["old", "boot.load"].median_s == 70
    world.configure("n9", hardware_class="old")
    effects = world.see("n9", power_state="off", image_ready="ready")
    (step_id,) = [e.step_id for e in effects if hasattr(e, "step_id")]
    world.tell(StepFailed("n9", step_id, "no"), after=5)
    again = {(r.hardware_class, r.mutation): r for r in world.engine.costs()}
    assert again == rows


def test_an_episode_keeps_the_costs_it_began_with_and_the_next_has_the_new() -> None:
    world = World()
    world.configure("n9", hardware_class="old")
    world.see("n9", power_state="off", image_ready="ready")
    before = sum(step.cost_s for step in world.condition("n9").plan)
    for number in range(3):
        boot(world, loads_s=70, node=f"n{number}")
    assert sum(step.cost_s for step in world.condition("n9").plan) == before
    world.tell(Observed("n9", {**UP, "power.state": "off"}, "test"))
    restarted = World(graph=world.graph, restart=2)
    restarted.engine.restore(json.loads(json.dumps(world.engine.export())))
    restarted.configure("n9", hardware_class="old")
    restarted.see("n9", power_state="off", image_ready="ready")
    load = [s.cost_s for s in restarted.condition("n9").plan if s.mutation == "boot.load"]
    assert load == [66]
