"""Span budgets: how many nodes may be out of service at once, whoever took them out."""

from __future__ import annotations

from worlds import RUNNING, UP, World

from fake_modules import modules
from kedge.core.engine.service import ground_of
from kedge.core.events import (
    BudgetSet,
    NodeConfigured,
    NodeRemoved,
    Observed,
    Requested,
    Retried,
    StartStep,
    StepFailed,
)
from kedge.core.graph import Graph

OUT = "out_of_service"
RACK = ((OUT, "rack 1"),)


def rack(nodes: int, limit: int = 1, **settings: float) -> World:
    """So many nodes up in a rack, where so many may be out."""
    world = World(**settings)
    world.tell(BudgetSet(OUT, "rack 1", limit, span=True))
    for i in range(nodes):
        world.up(f"n{i}", spans=RACK)
    world.wait(60)
    return world


def new_image(world: World) -> list[str]:
    """All nodes are to run another image, which is fetched already; who starts to go down."""
    started: list[str] = []
    for node in world.engine.nodes():
        world.tell(NodeConfigured(node, RUNNING, spans=RACK))
        world.tell(Observed(node, {"image.running": "kernel"}, "configured", fresh=False))
        started += [e.node for e in world.effects if isinstance(e, StartStep)]
    return started


def boot(world: World, node: str) -> list[str]:
    """From off to running; who starts to go down meanwhile."""
    found: list[str] = []
    for seen in ({"power_state": "on"}, {"boot_stage": "none"}, {"boot_stage": "layer0"}):
        world.see(node, **seen)
        found += shut_down(world)
    world.tell(Observed(node, {"boot.stage": "running", "image.running": "wanted"}, "agent"), 1)
    return found + shut_down(world)


def shut_down(world: World) -> list[str]:
    return [
        e.node
        for e in world.effects
        if isinstance(e, StartStep) and e.mutation in ("power.shut_down", "power.switch_off")
    ]


def test_what_a_node_stands_on_follows_from_its_goals() -> None:
    compiled = Graph.of(modules()).compiled

    def stands_on(**goals: str) -> dict[str, set[str]]:
        wanted = compiled.assignment({k.replace("_", "."): v for k, v in goals.items()})
        return {
            compiled.name(v): {compiled.symbol(v, x) for x in ok}
            for v, ok in ground_of(compiled, wanted)
        }

    assert stands_on(power_state="on", image_running="wanted") == {
        "power.state": {"on"},
        "boot.stage": {"running"},
    }
    assert stands_on(power_state="on") == {"power.state": {"on"}}
    assert stands_on(power_state="off") == {}
    assert stands_on(image_ready="ready") == {}


def test_one_node_goes_after_the_other() -> None:
    world = rack(3)
    assert new_image(world) == ["n0"]
    waiting = world.condition("n1")
    assert waiting.phase == "waiting"
    assert waiting.why == ("for the budget out_of_service of rack 1 (limit 1, 0 ahead; used by n0)")
    assert "1 ahead" in world.condition("n2").why
    world.see("n0", power_state="off")
    assert shut_down(world) == []
    assert boot(world, "n0") == ["n1"]
    world.see("n1", power_state="off")
    assert boot(world, "n1") == ["n2"]
    world.see("n2", power_state="off")
    assert boot(world, "n2") == []
    assert {world.condition(n).phase for n in world.engine.nodes()} == {"converged"}


def test_a_node_that_went_down_by_itself_counts_and_may_come_back() -> None:
    world = rack(3)
    world.see("n2", power_state="off")
    assert [e.mutation for e in world.effects if isinstance(e, StartStep)] == ["power.switch_on"]
    assert new_image(world) == [], "n2 is down already"
    assert "used by n2" in world.condition("n0").why
    assert boot(world, "n2") == ["n0"], "the oldest that waits goes next"
    assert world.condition("n2").phase == "converged"


def test_a_node_of_which_nothing_is_known_counts() -> None:
    world = rack(2)
    world.see("n1", boot_stage="unknown")
    world.tell(Observed("n0", {"image.running": "kernel"}, "configured", fresh=False), 20)
    assert world.started() == [] and "used by n1" in world.condition("n0").why
    world.see("n1", boot_stage="running")
    assert shut_down(world) == ["n0"]


def test_a_stuck_node_is_cycled_though_the_pool_is_full() -> None:
    world = rack(3)
    for node in ("n1", "n2"):
        world.see(node, boot_stage="stuck")
        assert shut_down(world) == [node], "that takes nothing from anybody"


def test_who_took_its_span_steps_back_when_another_goes_down_before_it_began() -> None:
    world = World()
    world.tell(BudgetSet(OUT, "rack 1", 1, span=True))
    world.tell(BudgetSet("power.shut_down", "cluster", 1))
    limits = (("power.shut_down", "cluster"),)
    world.up("a", limits=limits)
    for node in ("n1", "n2"):
        world.up(node, spans=RACK, limits=limits)
    world.wait(60)
    for node in ("a", "n1"):
        world.tell(Observed(node, {"image.running": "kernel"}, "configured", fresh=False))
    assert "power.shut_down of cluster" in world.condition("n1").why
    world.see("n2", power_state="off")
    world.see("a", power_state="off")
    assert shut_down(world) == [] and "used by n2" in world.condition("n1").why
    assert boot(world, "n2") == ["n1"]


def test_a_quarantined_node_keeps_its_slot_and_is_named() -> None:
    world = rack(2)
    assert new_image(world) == ["n0"]
    world.see("n0", power_state="off")
    world.tell(StepFailed("n0", world.step_id("power.switch_on", "n0"), "no fuse", permanent=True))
    assert world.condition("n0").phase == "quarantined"
    world.wait(3600)
    waiting = world.condition("n1")
    assert waiting.phase == "waiting" and shut_down(world) == []
    assert "n0 is quarantined: power.switch_on failed: no fuse" in waiting.why
    assert waiting.next == "kedge node retry n0"
    world.tell(NodeConfigured("n0", {"power.state": "off"}, spans=RACK))
    assert shut_down(world) == ["n1"], "n0 should not be in service any more"


def test_a_hold_gives_the_slot_back_only_where_the_node_is_in_service() -> None:
    world = rack(3)
    assert new_image(world) == ["n0"]
    world.tell(NodeConfigured("n0", RUNNING, hold="wait", spans=RACK))
    assert shut_down(world) == [], "its step is still under way"
    world.see("n0", power_state="off")
    assert shut_down(world) == [], "it is down"
    assert "n0 is held: wait" in world.condition("n1").why
    world.tell(NodeConfigured("n1", RUNNING, hold="wait", spans=RACK))
    world.tell(NodeRemoved("n0"))
    assert shut_down(world) == ["n2"], "n1 is held and waits no more"


def test_a_slot_is_kept_over_a_restart() -> None:
    world = rack(2)
    assert new_image(world) == ["n0"]
    again = World(restart=2)
    again.engine.restore(world.engine.export())
    again.tell(BudgetSet(OUT, "rack 1", 1, span=True))
    for node in ("n0", "n1"):
        again.tell(NodeConfigured(node, RUNNING, spans=RACK))
    running = {**UP, "image.running": "kernel"}
    again.tell(Observed("n1", running, "test"))
    assert shut_down(again) == [], "n0 has begun"
    again.tell(Observed("n0", running, "test"))
    assert shut_down(again) == ["n0"]


def test_an_order_to_switch_off_needs_no_slot_and_a_cycle_does() -> None:
    world = rack(3)
    for node in ("n0", "n1"):
        world.tell(Requested(node, {"power.state": "off"}, "r", "me"))
    assert "used by n0" in world.condition("n1").why
    started: list[str] = []
    for node in ("n1", "n2"):
        world.tell(NodeConfigured(node, {"power.state": "off"}, spans=RACK))
        started += shut_down(world)
    assert started == ["n1", "n2"]


def test_a_place_in_a_queue_that_is_not_needed_any_more_blocks_nobody() -> None:
    world = rack(3)
    assert new_image(world) == ["n0"]
    world.see("n1", power_state="off")
    world.see("n0", power_state="off")
    assert boot(world, "n0") == []
    assert boot(world, "n1") == ["n2"]
    world.tell(Retried("n2"))
    assert world.condition("n2").phase == "moving"


def test_a_limit_that_is_raised_or_dropped_lets_the_next_ones_go() -> None:
    world = rack(4)
    assert new_image(world) == ["n0"]
    world.tell(BudgetSet(OUT, "rack 1", 2, span=True))
    assert shut_down(world) == ["n1"]
    world.tell(BudgetSet(OUT, "rack 1", 0, span=True))
    assert shut_down(world) == ["n2", "n3"]
