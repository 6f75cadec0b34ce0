"""Let jobs end before nodes are disturbed: drains, releases as features, and resumes, through Slurm.

The module *protects* running nodes: whatever would disturb one requires that it is drained, down, or
free by policy, so plans of all modules begin with a drain by themselves. A node comes back only with its
health checked, its image and its release as configured. Drains that Kedge did not make are never ended.
A scheduler that cannot be asked means *busy*.
"""

from __future__ import annotations

from pathlib import Path

from kedge.core.kinds import Anything, Enum, Integer, Text, Value
from kedge.core.module import Module
from kedge.core.variable import Relation
from kedge.lib.errors import KedgeError
from kedge.modules.port import Io, Node
from kedge.modules.scheduler import actions
from kedge.modules.scheduler.driver import OURS
from kedge.modules.scheduler.policy import POLICY
from kedge.modules.scheduler.showing import ANY
from kedge.modules.scheduler.watching import watch_of

module = Module("scheduler", summary="Let jobs end before nodes are disturbed")

HEARD_S = 120.0
RUNNING = ("wanted", "files", "userland", "kernel")


def carried(discovered: Value, configured: Value) -> str:
    """How the release that a node carries stands to the one it shall run."""
    return "wanted" if discovered in (ANY, configured) else "other"


policy = module.variable(
    "policy",
    POLICY,
    configured=True,
    summary="Who decides when the node may be disturbed: its jobs, people (windows, sessions), nobody",
)
state = module.variable(
    "state",
    Enum(("absent", "in_service", "draining", "drained", "down")),
    configured=True,
    wanted_while={"power.state": "on"},
    summary="Whether the node takes jobs; absent: it is free by policy",
)
return_by = module.variable(
    "return_by",
    Enum(("kedge", "person")),
    summary="Who may bring the node back into service",
    by_hand="When it is mended: scontrol update nodename={node} state=resume "
    "(one that Kedge drained: kedge scheduler give-back {node})",
)
release = module.variable(
    "release",
    Anything(),
    relation=Relation("release.wanted", ("wanted", "other"), "wanted", carried),
    wanted_while={"power.state": "on"},
    summary="The release that the node offers to jobs, as a feature kedge_RELEASE",
)
drained_by = module.variable("drained_by", Text(), summary="kedge, person, or empty")
reason = module.variable(
    "reason", Text(), summary="Why it is out of service, as the scheduler says"
)
jobs = module.variable(
    "jobs", Anything(), summary="Its jobs: id, when it ends at the latest, nodes"
)
reservations = module.variable(
    "reservations", Anything(), summary="Reservations that it is part of"
)
features = module.variable("features", Anything(), summary="The features that it offers to jobs")
notice = module.variable(
    "notice", Text(), summary="What it waits for, or who drained it, in words", telling=True
)
sessions = module.variable(
    "sessions", Integer(), summary="How many people's sessions are open on it"
)

module.listens(
    state,
    return_by,
    release,
    drained_by,
    reason,
    jobs,
    reservations,
    features,
    notice,
    timeout_s=HEARD_S,
    name="listen",
    summary="Read from the scheduler, the whole cluster at once; or what the node's policy says",
)
module.duty(
    "sessions",
    Path(__file__).with_name("duty.py").read_text(),
    reports=[sessions],
    every_s=120.0,
    timeout_s=10.0,
    requires={"boot.stage": "running"},
    summary="Counts the open sessions, for policies that ask for none",
)


@module.mutates(
    state, "in_service", "draining", requires={return_by: "kedge"}, cost_s=5, timeout_s=120.0
)
async def drain(node: Node, io: Io) -> None:
    """Have the node take no new jobs; those that run go on."""
    await watch_of(io).give("drain", node, f"{OURS} {why(node)}")


def why(node: Node) -> str:
    """What a drain is for, for people who look at the scheduler."""
    wanted = node.configured("release.wanted")
    if wanted and node.seen("scheduler.release") != wanted:
        return f"release {wanted}"
    image = node.configured("image.wanted")
    image = image.get("reference") if isinstance(image, dict) else image
    return f"to be as configured ({image})" if isinstance(image, str) else "to be as configured"


module.edge(
    "jobs_end",
    {state: "drained"},
    where="waits",
    requires={state: "draining"},
    cost_s=60,
    timeout_s=0,
    summary="Its jobs end, or what its policy waits for; as long as that takes",
)


@module.mutates(
    state,
    ("draining", "drained", "down"),
    "in_service",
    requires={
        return_by: "kedge",
        release: ("wanted", "unknown"),
        "health.verdict": "pass",
        "image.running": "wanted",
        "boot.stage": "running",
    },
    via={state: "down"},
    cost_s=5,
    timeout_s=120.0,
)
async def resume(node: Node, io: Io) -> None:
    """Take the node back into service: it is healthy, and runs what is configured."""
    if node.seen("power.state") != "on":
        raise KedgeError(
            "scheduler.leaving", "it is not sure that the node goes on running", where=node.name,
            why="it was told to shut down a moment ago, or its BMC does not say that it has power",
        )  # fmt: skip
    await watch_of(io).give("resume", node)


async def label(node: Node, io: Io) -> None:
    """Have the node offer the release that it runs, as a feature."""
    await watch_of(io).give("carry", node, str(node.configured("release.wanted") or ""))


module.edge(
    "label",
    {release: "wanted"},
    where="head",
    requires={
        release: "other",
        state: ("in_service", "draining", "drained", "down"),
        "image.running": "wanted",
    },
    cost_s=2,
    timeout_s=120.0,
    live=True,
    summary=(label.__doc__ or "").strip(),
    handler=label,
)

FREE = {"scheduler.state": ("drained", "down", "absent")}
module.protects("boot.stage", {**FREE}, "jobs may run on it", leaving=("running", "stuck"))
module.protects("image.running", {**FREE}, "jobs may run on it", to="wanted", leaving=RUNNING)


@module.service
async def serve(io: Io) -> None:
    """Read the scheduler, and look at policies and health, for ever."""
    await watch_of(io).run()


actions.declare(module)
