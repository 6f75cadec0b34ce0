"""What a node goes through, told as short stories: the engine against a scripted world."""

from __future__ import annotations

from worlds import RUNNING, UP, World

from kedge.core.events import (
    DiscoveryFailed,
    EndStep,
    NodeConfigured,
    NodeRemoved,
    Observed,
    RequestDone,
    Requested,
    Retried,
    StartStep,
    StepFailed,
)


def boot(world: World, node: str = "n1") -> None:
    """From off to running, the world doing what it is told."""
    world.see(node, power_state="on")
    world.see(node, boot_stage="loader")
    world.see(node, boot_stage="layer0")
    world.tell(Observed(node, {"boot.stage": "running", "image.running": "wanted"}, "agent"), 1)


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


def test_a_node_that_dies_while_its_image_starts_is_not_waited_for_to_the_end() -> None:
    world = World()
    world.configure(goals=RUNNING)
    world.see(power_state="off", image_ready="ready")
    world.see(power_state="on")
    world.see(boot_stage="layer0")
    assert world.started() == ["image.activate"]
    world.see(boot_stage="unknown")
    assert world.asked() == ["boot.listen", "power.read"] and world.ended() == []
    world.see(boot_stage="layer0", after=60)  # it was the network
    world.wait(60)
    assert world.ended() == []
    world.see(boot_stage="unknown")
    assert "boot.listen" in world.asked() and world.ended() == []
    world.see(power_state="on")
    effects = world.wait(91)
    ends = [(e.mutation, e.outcome, e.reason) for e in effects if isinstance(e, EndStep)]
    why = "boot.stage became stuck (nothing was heard for 90 s)"
    assert ends == [("image.activate", "failed", why)], "not after its 300 s"
    effects = world.wait(8)
    assert [e.mutation for e in effects if isinstance(e, StartStep)] == ["power.switch_off"]


def change_image(world: World) -> None:
    """The configured image changes while the node runs."""
    world.tell(
        Observed("n1", {"image.running": "kernel", "image.ready": "missing"}, "apply", fresh=False)
    )
    world.tell(NodeConfigured("n1", RUNNING))


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


def test_an_image_that_cannot_be_fetched_leaves_the_node_running_with_the_reason() -> None:
    world = World()
    world.up()
    change_image(world)
    for attempt in range(3):
        world.tell(StepFailed("n1", world.step_id("image.fetch"), "no such digest", "check it"), 1)
        if attempt < 2:
            assert world.condition().phase == "waiting"
            assert "no such digest" in world.condition().why
            started = [e.mutation for e in world.wait(30) if isinstance(e, StartStep)]
            assert started == ["image.fetch"]
    condition = world.condition()
    assert condition.phase == "quarantined"
    assert "image.fetch failed 3 times: no such digest" in condition.why
    assert condition.next == "check it; then: kedge node retry n1"
    assert condition.discovered["boot.stage"] == "running"
    assert not [e for e in world.wait(7200) if isinstance(e, StartStep)]
    world.tell(Retried("n1", "me"))
    assert world.started() == ["image.fetch"]


def test_a_permanent_failure_needs_no_second_attempt() -> None:
    world = World()
    world.up()
    change_image(world)
    world.tell(StepFailed("n1", world.step_id("image.fetch"), "gone", permanent=True))
    assert world.condition().phase == "quarantined"


def test_a_device_that_is_not_reached_is_waited_for() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="ready")
    for _ in range(8):
        words = {"reason": "the BMC does not answer", "next_step": "ping it", "put_off": True}
        world.tell(StepFailed("n1", world.step_id("power.switch_on"), **words))
        condition = world.condition()
        assert condition.phase == "waiting" and "the BMC does not answer" in condition.why
        assert condition.next == "ping it"
        waited_s = 0
        while not world.condition().running:
            world.wait(1)
            waited_s += 1
        assert waited_s <= 376, "never longer than the longest pause"
    world.tell(StepFailed("n1", world.step_id("power.switch_on"), **words))
    world.see(power_state="off")
    assert world.started() == ["power.switch_on"], "it answers again: at once"
    world.tell(StepFailed("n1", world.step_id("power.switch_on"), "no power supply"), after=1)
    assert world.condition().phase == "waiting", "that counts, and is the first"


def test_a_node_that_is_not_where_its_order_begins_is_taken_for_stuck() -> None:
    world = World()
    world.configure()
    world.see(power_state="on", boot_stage="layer0", image_ready="ready")
    failed = StepFailed(
        "n1", world.step_id("image.activate"), "the node is in stage init", astray=True
    )
    world.tell(failed)
    assert world.condition().discovered["boot.stage"] == "stuck"
    assert not world.started(), "its power is not taken before the order may be tried again"
    assert "to try image.activate again" in world.condition().why
    assert [e.mutation for e in world.wait(8) if isinstance(e, StartStep)] == ["power.switch_off"]


def test_after_a_boot_that_nobody_heard_of_the_next_one_waits() -> None:
    world = World()
    world.configure()
    world.see(power_state="on", boot_stage="none", image_ready="ready")
    pauses_s: list[float] = []
    for _ in range(2):
        assert "boot.load" in [step.mutation for step in world.condition().running]
        timed_out_at = world.now + 240
        while "power.switch_off" not in [step.mutation for step in world.condition().running]:
            world.wait(1)
            world.see(after=0, power_state="on")
        pauses_s.append(world.now - timed_out_at)
        world.see(power_state="off")
        world.see(power_state="on")
        world.wait(1)
    assert 85 < pauses_s[0] < 155 and 175 < pauses_s[1] < 305


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


def test_after_a_restart_a_dead_bmc_is_named_and_nothing_is_started() -> None:
    world = World()
    world.configure()
    world.see(boot_stage="running", image_running="wanted")
    asked = 0
    for _ in range(200):
        world.tell(DiscoveryFailed("n1", "power.read", "the BMC does not answer", "look at it"))
        assert world.started() == []
        condition = world.condition()
        assert condition.phase == "waiting" and "the BMC does not answer" in condition.why
        asked += len([e for e in world.wait(60) if not isinstance(e, StartStep)])
    assert asked < 200 * 4
    world.see(power_state="on")
    assert world.condition().phase == "converged"


def test_a_load_that_times_out_is_power_cycled_and_in_the_end_quarantined() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="ready")
    cycles = 0
    for _ in range(200):
        if world.condition().phase == "quarantined":
            break
        names = [r.mutation for r in world.condition().running]
        if names == ["power.switch_on"]:
            world.see(power_state="on")
        elif names == ["power.switch_off"]:
            world.see(power_state="off")
            cycles += 1
        else:
            world.wait(30)
            if "power.state" in world.condition().discovered and not world.condition().running:
                world.see(power_state="on")
    condition = world.condition()
    assert condition.phase == "quarantined" and cycles == 2
    assert "boot.load failed 3 times: no effect within 240 s" in condition.why


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


def test_a_node_that_dies_during_a_step_ends_it_and_starts_over() -> None:
    world = World()
    world.configure()
    world.see(power_state="on", boot_stage="none", image_ready="ready")
    world.see(power_state="off")
    assert ("boot.load", "failed") in world.ended()
    assert world.started() == ["power.switch_on"]


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


def test_a_node_that_keeps_changing_by_itself_is_quarantined() -> None:
    world = World()
    world.up()
    for _ in range(12):
        world.see(power_state="off")
        world.tell(Observed("n1", UP, "ghost"), 1)
    assert world.condition().phase == "quarantined"
    assert "keeps changing by itself" in world.condition().why


def test_a_removed_node_has_its_steps_dropped() -> None:
    world = World()
    world.configure()
    world.see(power_state="off", image_ready="ready")
    world.tell(NodeRemoved("n1"))
    assert world.ended() == [("power.switch_on", "dropped")]
    assert world.engine.nodes() == []
    assert [e for e in world.wait(600) if isinstance(e, StartStep)] == []


def test_export_and_restore_keep_quarantine_attempts_and_requests() -> None:
    world = World()
    world.up()
    change_image(world)
    world.tell(StepFailed("n1", world.step_id("image.fetch"), "gone", permanent=True))
    exported = world.engine.export()
    again = World(restart=2)
    again.engine.restore(exported)
    again.configure()
    assert again.condition().phase == "quarantined"
    assert again.started() == [] and "gone" in again.condition().why


def test_step_ids_are_never_used_twice() -> None:
    ids: set[str] = set()
    for restart in (1, 2):
        world = World(restart=restart)
        world.configure()
        effects = world.see(power_state="off", image_ready="missing")
        new = {e.step_id for e in effects if isinstance(e, StartStep)}
        assert len(new) == 2 and not new & ids
        ids |= new
