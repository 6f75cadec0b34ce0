"""What a person is told when a node does not get where it should be: the cause, and what to look at."""

from __future__ import annotations

from dataclasses import replace

from worlds import RUNNING, UP, World

from fake_modules import boot, image, named, power
from kedge.core.events import DiscoveryFailed, Observed, StepFailed
from kedge.core.graph import Graph
from kedge.core.kinds import Anything, Enum
from kedge.core.module import Module
from kedge.core.variable import Relation


def hinted() -> Graph:
    """A boot whose module says what to look at, by how far the machine came."""
    module = boot()
    (load,) = module.mutations
    hints = {"none": "look at the boot order", "": "look at the console of {node}"}
    module.mutations = [replace(load, hints=hints)]
    return Graph.of([power(), module, image()])


def loading(world: World) -> None:
    world.configure()
    world.tell(Observed("n1", {"power.state": "on", "boot.stage": "none"}, "test"))
    world.see(image_ready="ready")
    assert world.started() == ["boot.load"]


def test_a_boot_that_comes_to_nothing_says_how_far_it_came_and_what_to_look_at() -> None:
    for shows, looks in (
        ("none", "look at the boot order"),
        ("loader", "look at the console of n1"),
    ):
        world = World(graph=hinted(), attempts=1)
        loading(world)
        world.see(boot_stage=shows)
        world.wait(241)
        condition = world.condition()
        assert condition.phase == "quarantined"
        assert condition.why == f"boot.load failed: no effect within 240 s (boot.stage is {shows})"
        assert condition.next == f"{looks}; then: kedge node retry n1"


def test_what_somebody_says_of_a_failure_goes_before_the_modules_hint() -> None:
    world = World(graph=hinted(), attempts=1)
    loading(world)
    step_id = world.step_id("boot.load")
    world.tell(StepFailed("n1", step_id, "no layer0 was built", "kedge layer0 build"))
    assert world.condition().next == "kedge layer0 build; then: kedge node retry n1"


def test_a_silent_node_waits_to_be_heard_and_says_what_silence_will_mean() -> None:
    world = World()
    world.up()
    world.see(boot_stage="unknown")
    condition = world.condition()
    assert condition.why == (
        "to hear of boot.stage (boot.listen); if nothing is heard for 90 s, it counts as stuck"
    )
    assert condition.next == ""  # to look is no step that comes


def test_a_node_that_moves_and_waits_by_turns_says_since_when_it_is_on_its_way() -> None:
    world = World()
    world.up()
    began = world.now + 0.1
    world.see(power_state="off")
    for _ in range(3):
        world.tell(
            StepFailed("n1", world.step_id("power.switch_on"), "no answer", put_off=True), after=20
        )
        assert world.condition().phase == "waiting" and world.condition().since == began
        while "power.switch_on" not in [r.mutation for r in world.condition().running]:
            world.wait(5)
        assert world.condition().phase == "moving" and world.condition().since == began


def label() -> Module:
    """A variable that is listened for beside another, and is held against a value that is not written."""
    module = Module("label", summary="Carry a label")
    module.variable("wanted", Anything(), configured=True)
    state = module.variable("state", Enum(("up", "down")), configured=True)
    carried = module.variable(
        "carried",
        Anything(),
        relation=Relation("label.wanted", ("wanted", "other"), "wanted", lambda d, c: "wanted"),
    )
    by = module.variable("by", Enum(("us", "them")), by_hand="ask them to give {node} back")
    module.listens(state, carried, by, timeout_s=120, name="listen")
    module.edge(
        "mend", {state: "up"}, where="head", requires={state: "down", by: "us"}, handler=named("m")
    )
    return module


def test_silence_about_what_is_held_against_nothing_is_no_failure() -> None:
    world = World(graph=Graph.of([label()]))
    world.configure(goals={"label.state": "up"})
    world.see(label_state="up", label_by="us")
    world.wait(600)
    assert world.condition().phase == "converged" and world.condition().failures == {}


def test_what_was_not_heard_in_time_and_comes_then_is_no_failure_any_more() -> None:
    world = World(graph=Graph.of([label()]))
    world.configure(goals={"label.state": "up"})
    world.wait(121)
    assert world.condition().failures == {"label.listen": "nothing was heard for 120 s"}
    world.see(label_state="up", label_by="us")
    assert world.condition().phase == "converged" and world.condition().failures == {}


def test_what_only_a_person_brings_about_is_said_with_how() -> None:
    world = World(graph=Graph.of([label()]))
    world.configure(goals={"label.state": "up"})
    world.see(label_state="down", label_by="them")
    condition = world.condition()
    assert condition.phase == "blocked" and "only a person can bring that about" in condition.why
    assert condition.next == "ask them to give n1 back"


def test_a_node_that_changes_by_itself_time_and_again_says_where_to_look() -> None:
    world = World(surprises=1, surprise_refill_s=1e6)
    world.up()
    world.wait(100)
    for _ in range(2):
        world.tell(Observed("n1", {"power.state": "off"}, "bmc"))
        world.tell(Observed("n1", UP, "agent"), 60)
    condition = world.condition()
    assert condition.phase == "quarantined", condition
    assert condition.next.startswith("See when (kedge events n1); look at its console")


def test_a_poll_that_fails_still_waits_for_an_answer() -> None:
    world = World()
    world.configure(goals=RUNNING)
    world.tell(DiscoveryFailed("n1", "power.read", "no answer", "ping it"))
    assert world.condition().failures["power.read"] == "no answer. ping it"
    world.see(boot_stage="running")  # which its BMC did not say
    assert "power.read" in world.condition().failures


def test_a_node_that_changed_by_itself_some_times_says_so_until_that_is_forgotten() -> None:
    world = World(surprise_refill_s=300)
    world.up()
    world.wait(100)
    for times in range(1, 4):
        world.tell(Observed("n1", {"power.state": "off"}, "bmc"))
        world.tell(Observed("n1", UP, "agent"), 10)
        told = world.condition().failures.get("unrest", "")
        assert (f"changed by itself {times} times lately" in told) == (times >= 2)
    assert world.condition().phase == "converged"
    world.wait(900)
    assert "unrest" not in world.condition().failures
