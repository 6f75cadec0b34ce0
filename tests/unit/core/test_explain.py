"""Paths with their reasons, and the smallest set of requirements that blocks where there is none."""

from __future__ import annotations

from worlds import RUNNING, World

from fake_modules import modules
from kedge.core.draw import dot, drawing, mermaid
from kedge.core.events import Noted, Requested
from kedge.core.graph import Graph
from kedge.core.kinds import Enum
from kedge.core.module import Module


def test_a_path_says_what_each_step_is_for() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="missing")
    told = world.engine.explain("n1")
    assert [step.mutation for step in told.plan] == [
        "image.fetch",
        "power.switch_on",
        "boot.load",
        "image.activate",
    ]
    assert told.cost_s == 85 and told.proven and told.blocked_by == ""
    assert told.plan[2].after == (0, 1) and told.plan[3].after == (2,)
    assert told.reasons[0] == "boot.load needs image.ready=ready"
    assert told.reasons[3].endswith("image.running=wanted is configured")


def test_a_moving_node_says_what_each_step_is_needed_for_now() -> None:
    world = World()
    world.up()
    world.tell(Requested("n1", {"power.state": "off"}, "cycle", "me"))
    assert world.condition().why == "power.shut_down: power.state is on, should be off"
    phases = [e for e in world.effects if isinstance(e, Noted) and e.what == "phase"]
    assert [e.cause for e in phases] == [world.condition().why]
    world.see(power_state="off")
    assert world.condition().why == "power.switch_on: power.state is off, should be on"
    world.see(power_state="on", boot_stage="none")
    loading = "boot.load: boot.stage=layer0, as image.running is none, should be wanted"
    assert world.condition().why == loading
    started = [e for e in world.effects if isinstance(e, Noted) and e.what == "step"]
    assert started[-1].cause == "boot.stage=layer0, as image.running is none, should be wanted"
    world.see(boot_stage="layer0")
    assert world.condition().why == "image.activate: image.running is none, should be wanted"


def test_the_cost_is_that_of_the_steps_still_to_come() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="ready")
    world.see(power_state="on", boot_stage="none")
    told = world.engine.explain("n1")
    assert [step.mutation for step in told.plan] == ["boot.load", "image.activate"]
    assert told.cost_s == sum(step.cost_s for step in told.plan) == 50


def lock(held: bool) -> Module:
    """A third module that protects power, with or without a way to unlock it."""
    module = Module("lock", summary="")
    state = module.variable("state", Enum(("shut", "open")))
    module.listens(state, timeout_s=60)
    module.protects("power.state", {state: "open"}, why="somebody works at the rack")
    if not held:
        module.edge("unlock", {state: "open"}, where="waits", requires={state: "shut"})
    return module


def test_what_blocks_is_named() -> None:
    world = World(graph=Graph.of([*modules(), lock(held=True)]))
    world.configure()
    world.see(power_state="off", image_ready="ready", lock_state="shut")
    condition = world.condition()
    assert condition.phase == "blocked" and world.started() == []
    assert condition.why == (
        "no way leads to image.running=wanted and power.state=on: power.switch_on requires "
        "lock.state=open, and nothing here can bring that about"
    )
    assert world.engine.explain("n1").blocked_by == condition.why
    world.see(lock_state="open")
    assert world.started() == ["power.switch_on"]


def test_an_awaited_edge_is_shown_as_waiting() -> None:
    world = World(graph=Graph.of([*modules(), lock(held=False)]))
    world.configure()
    world.see(power_state="off", image_ready="ready", lock_state="shut")
    assert world.started() == ["lock.unlock"]
    assert world.condition().phase == "waiting" and "on lock.unlock" in world.condition().why
    world.see(lock_state="open")
    assert world.started() == ["power.switch_on"]


def test_goals_that_exclude_one_another_are_told_apart_from_missing_ways() -> None:
    module = Module("m", summary="")
    a = module.variable("a", Enum(("x", "y")), configured=True)
    b = module.variable("b", Enum(("x", "y")), configured=True)
    module.listens(a, b, timeout_s=60)
    module.edge("go", {a: "y", b: "x"}, where="head")
    world = World(graph=Graph.of([module]))
    world.configure(goals={"m.a": "y", "m.b": "y"})
    world.see(m_a="x", m_b="y")
    assert world.condition().phase == "blocked"
    assert "not without losing a goal that holds" in world.condition().why


def test_explaining_changes_nothing() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="missing")
    before = world.condition()
    assert world.engine.explain("n1") == world.engine.explain("n1")
    assert world.condition() == before


def test_the_graph_is_drawn_with_a_nodes_place_and_path() -> None:
    graph = Graph.of(modules())
    picture = drawing(graph, discovered={"power.state": "off"}, path=["power.switch_on"])
    text = dot(picture)
    assert text.startswith("digraph kedge {") and text.count("{") == text.count("}")
    assert '"power.state=off" [label="off", fillcolor=gold]' in text
    assert '"power.state=off" -> "power.state=on"' in text and "penwidth=3" in text
    flow = mermaid(picture)
    assert flow.startswith("flowchart LR") and "==>" in flow and ":::here" in flow
    assert flow.count("subgraph") == flow.count("  end\n") == 4


def test_one_modules_drawing_shows_only_what_it_touches() -> None:
    picture = drawing(Graph.of(modules()), module="power")
    assert [box.variable for box in picture.boxes] == ["power.state"]
    assert {arrow.label.split()[0] for arrow in picture.arrows} == {
        "power.switch_on",
        "power.shut_down",
        "power.switch_off",
    }


def test_running_is_the_goal_of_the_examples() -> None:
    assert Graph.of(modules()).goals({"power.state": "on", "image.wanted": "x"}) == RUNNING
