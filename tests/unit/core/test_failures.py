"""What goes wrong with a node, told as short stories: tried again, put off, started over, quarantined."""

from __future__ import annotations

from worlds import RUNNING, UP, World, change_image

from kedge.core.events import (
    DiscoveryFailed,
    EndStep,
    Observed,
    Retried,
    StartStep,
    StepFailed,
)


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


def test_a_node_that_dies_during_a_step_ends_it_and_starts_over() -> None:
    world = World()
    world.configure()
    world.see(power_state="on", boot_stage="none", image_ready="ready")
    world.see(power_state="off")
    assert ("boot.load", "failed") in world.ended()
    assert world.started() == ["power.switch_on"]


def test_a_node_that_keeps_changing_by_itself_is_quarantined() -> None:
    world = World()
    world.up()
    for _ in range(12):
        world.see(power_state="off")
        world.tell(Observed("n1", UP, "ghost"), 1)
    assert world.condition().phase == "quarantined"
    assert "keeps changing by itself" in world.condition().why


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
