"""The state graph of the simulated nodes: what production modules declare, without what takes no time.

Drain, update, check, resume: the same edges, requirements and resets as of the scheduler, image and
health modules. How the image gets to the node is one step with the duration of all.
"""

from __future__ import annotations

from kedge.core.graph import Graph
from kedge.core.kinds import Enum
from kedge.core.module import Module

NEVER_S = 1e9
DRAIN, UPDATE, CHECK, RESUME = "scheduler.drain", "image.update", "health.check", "scheduler.resume"
STATE, RUNNING, VERDICT = "scheduler.state", "image.running", "health.verdict"


def make_graph(update_s: float) -> Graph:
    """The graph; ``update_s`` is what an update is declared to take."""
    scheduler, image, health = (
        Module(name, summary="Simulated") for name in ("scheduler", "image", "health")
    )
    state = scheduler.variable("state", Enum(("in_service", "drained")), configured=True)
    running = image.variable("running", Enum(("wanted", "other")), configured=True)
    verdict = health.variable("verdict", Enum(("none", "pass", "fail")))
    for module, variable in ((scheduler, state), (image, running), (health, verdict)):
        module.listens(variable, timeout_s=NEVER_S)
    scheduler.edge(
        "drain", {state: "drained"}, where="head", requires={state: "in_service"},
        cost_s=60, timeout_s=NEVER_S,
    )  # fmt: skip
    image.edge(
        "update", {running: "wanted", verdict: "none"}, where="head",
        requires={running: "other", state: "drained"},
        cost_s=int(update_s), timeout_s=20 * update_s, destructive=True,
    )  # fmt: skip
    health.edge(
        "check", {verdict: "pass"}, where="head",
        requires={verdict: "none", running: "wanted"}, cost_s=30, timeout_s=600,
    )  # fmt: skip
    scheduler.edge(
        "resume", {state: "in_service"}, where="head",
        requires={state: "drained", verdict: "pass", running: "wanted"}, cost_s=5, timeout_s=600,
    )  # fmt: skip
    return Graph.of([scheduler, image, health])


GOALS = {STATE: "in_service", RUNNING: "wanted"}
