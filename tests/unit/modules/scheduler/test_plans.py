"""What the engine plans with all of Kedge's modules, for nodes with jobs and without."""

from __future__ import annotations

from typing import Any

from kedge.core.engine.engine import Engine
from kedge.core.engine.showing import Explanation
from kedge.core.events import NodeConfigured, Observed
from kedge.core.graph import Graph
from kedge.master.serve import installed_modules

GRAPH = Graph.of([m for m in installed_modules() if m.name in (
    "power", "boot", "image", "release", "scheduler", "health")])  # fmt: skip
GOALS: dict[str, Any] = {
    "power.state": "on",
    "image.wanted": "r:5000/c:1",
    "release.wanted": "A",
    "scheduler.state": "in_service",
}
SERVING = {
    "power.state": "on",
    "boot.stage": "running",
    "image.running": "wanted",
    "image.ready": "ready",
    "scheduler.state": "in_service",
    "scheduler.return_by": "kedge",
    "scheduler.release": "wanted",
    "health.verdict": "pass",
    "health.standing": "clear",
}


def planned(goals: dict[str, Any] | None = None, **seen: str) -> Explanation:
    """The plan of a node that serves, but for what was ``seen`` (``power_state`` is power.state)."""
    engine = Engine(GRAPH, seed=1)
    changes = {name.replace("_", ".", 1): symbol for name, symbol in seen.items()}
    chosen = GRAPH.goals({**GOALS, **(goals or {})})
    engine.step(NodeConfigured("n1", chosen), 0.0)
    engine.step(Observed("n1", {**SERVING, **changes}, "test"), 1000.0)
    return engine.explain("n1")


def steps(plan: Explanation) -> list[str]:
    return [step.mutation for step in plan.plan if step.where != "discovery"]


def test_a_node_that_serves_has_nothing_to_do() -> None:
    assert steps(planned()) == []


def test_another_image_begins_with_a_drain_and_ends_with_a_resume() -> None:
    plan = steps(planned(image_running="kernel"))
    order = ["scheduler.drain", "scheduler.jobs_end", "power.shut_down", "power.switch_on",
             "boot.load", "image.activate", "scheduler.resume"]  # fmt: skip
    assert [step for step in plan if step in order] == order
    assert "scheduler.label" not in plan


def test_another_release_is_labelled_before_the_resume() -> None:
    plan = steps(planned(image_running="kernel", scheduler_release="other"))
    assert plan.index("image.activate") < plan.index("scheduler.label")
    assert plan.index("scheduler.label") < plan.index("scheduler.resume")
    # nothing to boot for: it is labelled while jobs run
    assert steps(planned(scheduler_release="other")) == ["scheduler.label"]


def test_a_node_that_shall_be_off_is_drained_and_stays_out() -> None:
    plan = planned({"power.state": "off"})
    assert steps(plan) == ["scheduler.drain", "scheduler.jobs_end", "power.shut_down"]
    assert not plan.given_up


def test_a_drain_of_a_person_is_no_obstacle_and_is_never_ended() -> None:
    plan = planned(image_running="kernel", scheduler_state="drained", scheduler_return_by="person")
    assert "power.shut_down" in steps(plan) and "image.activate" in steps(plan)
    assert "scheduler.resume" not in steps(plan)
    assert plan.given_up == ("scheduler.state",)


def test_a_failed_check_is_not_cured_by_a_reboot() -> None:
    seen = {"health_verdict": "fail", "health_standing": "failed", "scheduler_state": "drained"}
    plan = planned(**seen)
    assert steps(plan) == [] and plan.given_up == ("scheduler.state",)
    # but another image may be the cure, and is not held up
    assert "image.activate" in steps(planned(**seen, image_running="kernel"))


def test_a_scheduler_that_says_nothing_protects_what_runs_and_lets_boot_what_is_off() -> None:
    running = steps(planned(image_running="kernel", scheduler_state="unknown"))
    assert not any(step in running for step in ("power.shut_down", "power.switch_off")) or (
        running.index("scheduler.listen") < running.index("power.shut_down")
    )
    off = planned(
        power_state="off", boot_stage="none", image_running="none", scheduler_state="unknown"
    )
    assert steps(off).index("boot.load") >= 0
    assert not any(step in steps(off) for step in ("scheduler.drain", "scheduler.jobs_end"))


def test_a_free_node_moves_as_it_always_did() -> None:
    free = {"scheduler.state": None, "release.wanted": None}
    plan = steps(planned(free, image_running="kernel", scheduler_state="absent"))
    assert plan == ["power.shut_down", "power.switch_on", "boot.load", "image.activate"]


def test_a_drain_that_is_not_needed_any_more_is_taken_back() -> None:
    assert steps(planned(scheduler_state="draining")) == ["scheduler.resume"]


def test_a_node_that_slurm_set_down_comes_back_with_all_gates() -> None:
    assert steps(planned(scheduler_state="down")) == ["scheduler.resume"]
    plan = planned(scheduler_state="down", scheduler_return_by="person")
    assert steps(plan) == [] and plan.given_up == ("scheduler.state",)
