"""What a node goes through, told as short stories: the engine against a scripted world."""

from __future__ import annotations

from worlds import World, boot, change_image

from kedge.core.events import (
    NodeRemoved,
    Observed,
    RequestDone,
    Requested,
    StartStep,
)


def test_from_off_to_running() -> None:
    world = World()
    world.configure()
    assert world.asked() == ["power.read"] and world.started() == []
    world.see(power_state="off")
    assert world.asked() == ["image.look_up"] and world.started() == ["power.switch_on"]
    world.see(image_ready="missing")
    assert world.started() == ["image.fetch"]
    world.see(power_state="on")
    assert world.started() == []
    world.see(image_ready="ready")
    assert world.started() == ["boot.load"]
    world.see(boot_stage="loader")
    assert world.ended() == [] and world.condition().phase == "moving"
    world.see(boot_stage="layer0")
    assert world.started() == ["image.activate"]
    world.see(boot_stage="running")
    world.see(image_running="wanted")
    assert world.ended() == [("image.activate", "done")]
    assert world.condition().phase == "converged"


def test_a_silent_node_that_was_switched_off_is_booted_again() -> None:
    world = World()
    world.up()
    world.see(boot_stage="unknown")
    assert world.asked() == ["boot.listen", "power.read"] and world.started() == []
    world.see(power_state="off")
    assert world.started() == ["power.switch_on"]
    assert world.condition().discovered["boot.stage"] == "none"
    boot(world)
    assert world.condition().phase == "converged"


def test_a_powered_node_that_nobody_heard_is_stuck_and_power_cycled() -> None:
    world = World()
    world.up()
    world.see(boot_stage="unknown")
    world.see(power_state="on")
    assert world.condition().phase == "waiting"
    effects = world.wait(91)
    assert [e.mutation for e in effects if isinstance(e, StartStep)] == ["power.switch_off"]
    assert "nothing was heard" in world.condition().failures["boot.stage"]
    world.see(power_state="off")
    assert world.started() == ["power.switch_on"]
    boot(world)
    assert world.condition().phase == "converged"


def test_an_agent_that_speaks_again_costs_nothing() -> None:
    world = World()
    world.up()
    world.see(boot_stage="unknown")
    world.see(boot_stage="running")
    assert world.condition().phase == "converged" and world.started() == []


def test_a_new_image_is_fetched_before_the_node_is_disturbed() -> None:
    world = World()
    world.up()
    change_image(world)
    assert [r.mutation for r in world.condition().running] == ["image.fetch"]
    world.see(image_ready="ready")
    assert world.started() == ["power.shut_down"]
    world.see(boot_stage="unknown")
    assert world.ended() == [] and world.asked() == []
    world.see(power_state="off")
    assert world.started() == ["power.switch_on"]
    boot(world)
    assert world.condition().phase == "converged"


def test_graceful_first_then_hard() -> None:
    world = World()
    world.up()
    world.configure(goals={"power.state": "off"})
    assert world.started() == ["power.shut_down"]
    started: list[str] = []
    for _ in range(20):
        started += [e.mutation for e in world.wait(10) if isinstance(e, StartStep)]
        started += [e.mutation for e in world.see(power_state="on") if isinstance(e, StartStep)]
    assert started == ["power.shut_down", "power.switch_off"]
    world.see(power_state="off")
    assert world.condition().phase == "converged"


def test_after_a_restart_a_node_in_layer0_goes_on_from_there() -> None:
    world = World()
    world.configure()
    world.see(boot_stage="layer0")
    assert world.started() == []
    world.see(power_state="on")
    world.see(image_ready="ready")
    assert world.started() == ["image.activate"]


def test_after_a_restart_a_running_node_is_not_touched() -> None:
    world = World()
    world.configure()
    world.see(boot_stage="running", image_running="wanted")
    assert world.started() == [] and world.condition().phase == "waiting"
    world.see(power_state="on")
    assert world.started() == [] and world.condition().phase == "converged"


def test_a_held_node_is_left_alone_but_its_step_is_seen_to_end() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="ready")
    assert world.started() == ["power.switch_on"]
    world.configure(hold="broken fan")
    assert world.condition().phase == "held" and world.condition().why == "broken fan"
    world.see(power_state="on")
    assert world.ended() == [("power.switch_on", "done")] and world.started() == []
    world.wait(3600)
    assert world.started() == [] and "power.read" in world.asked()
    world.see(boot_stage="none")
    world.configure()
    assert world.started() == ["boot.load"]


def test_a_held_node_is_asked_for_what_is_unknown_from_the_start() -> None:
    world = World()
    world.configure(hold="broken fan")
    assert set(world.asked()) == {"power.read", "image.look_up"}
    world.see(power_state="on", image_ready="missing")
    assert "boot.listen" in world.asked()
    effects = world.wait(3600)
    assert not [e for e in effects if isinstance(e, StartStep)]
    condition = world.condition()
    assert condition.phase == "held"
    assert condition.discovered["power.state"] == "on"
    assert condition.discovered["boot.stage"] == "stuck"


def test_a_request_passes_first_and_then_the_configured_state_returns() -> None:
    world = World()
    world.up()
    world.tell(Requested("n1", {"power.state": "off"}, "r1", "me"))
    assert world.started() == ["power.shut_down"]
    effects = world.see(power_state="off")
    assert RequestDone("n1", "r1", "") in effects
    assert world.started() == ["power.switch_on"]
    boot(world)
    assert world.condition().phase == "converged"


def test_requests_that_cannot_be_are_refused_with_the_reason() -> None:
    world = World()
    done = [e for e in world.tell(Requested("n9", {}, "r0")) if isinstance(e, RequestDone)]
    assert done[0].reason == "no such node"
    world.up()
    effects = world.tell(Requested("n1", {"power.state": "purple"}, "r1"))
    assert any(isinstance(e, RequestDone) and "purple" in e.reason for e in effects)
    world.configure(hold="broken fan")
    effects = world.tell(Requested("n1", {"power.state": "off"}, "r2"))
    assert any(isinstance(e, RequestDone) and "broken fan" in e.reason for e in effects)


def test_new_goals_drop_a_step_that_stands_in_their_way() -> None:
    world = World()
    world.configure()
    world.see(power_state="on", boot_stage="none", image_ready="ready")
    assert world.started() == ["boot.load"]
    world.configure(goals={"power.state": "off"})
    assert ("boot.load", "dropped") in world.ended()
    assert world.started() == ["power.switch_off"]


def test_a_step_that_was_begun_for_other_values_is_begun_anew() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="missing")
    assert "image.fetch" in world.started()
    world.configure()  # another image is wanted: the same goals, and nothing is known of it
    world.tell(Observed("n1", {"image.ready": "unknown"}, "configured", fresh=False))
    assert world.ended() == [("image.fetch", "dropped")]
    world.see(image_ready="missing")
    assert world.started() == ["image.fetch"]
    assert not world.condition().failures, "nobody failed"
    world.see(image_ready="ready")
    assert world.ended() == [("image.fetch", "done")]


def test_a_child_seen_against_its_parent_makes_the_parent_unknown() -> None:
    world = World()
    world.configure()
    world.see(power_state="off")
    world.see(boot_stage="running", image_running="wanted")
    assert world.condition().discovered["power.state"] == "unknown"
    world.see(power_state="on")
    assert world.condition().phase == "converged"


def test_a_stale_symbol_says_nothing_about_a_node_that_is_off() -> None:
    world = World()
    world.configure(goals={"power.state": "off"})
    world.see(power_state="off")
    world.tell(Observed("n1", {"image.running": "kernel"}, "apply", fresh=False))
    assert world.condition().phase == "converged"


def test_a_removed_node_has_its_steps_dropped() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="ready")
    world.tell(NodeRemoved("n1"))
    assert world.ended() == [("power.switch_on", "dropped")]
    assert world.engine.nodes() == []
    assert [e for e in world.wait(600) if isinstance(e, StartStep)] == []


def test_step_ids_are_never_used_twice() -> None:
    ids: set[str] = set()
    for restart in (1, 2):
        world = World(restart=restart)
        world.configure()
        effects = world.see(power_state="off", image_ready="missing")
        new = {e.step_id for e in effects if isinstance(e, StartStep)}
        assert len(new) == 2 and not new & ids
        ids |= new
