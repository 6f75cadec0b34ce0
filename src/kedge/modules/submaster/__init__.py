"""Sub-masters that run on nodes of the cluster: each is a part of its node's state, like its image.

A node that names one (``submaster.serves: sm1``) is as configured when that sub-master is heard from it, in
its present boot. So whoever waits for the node (a rollout, a person) waits for the sub-master, too. One that
is not heard is admitted anew: its node proved who it is when it booted, and gets a fresh join file for it.
"""

from __future__ import annotations

from pathlib import Path

from kedge.core.kinds import Anything, Text, Value
from kedge.core.module import Module
from kedge.core.variable import Relation
from kedge.lib.errors import KedgeError
from kedge.modules.port import Io, Node
from kedge.modules.submaster.watching import FRESH_S, SILENT_S, watch

module = Module("submaster", summary="Run sub-masters on nodes of the cluster")

ADMIT_TIMEOUT_S = 300.0
"""A start of Kedge on a slow disk, a join, and the first heartbeats."""


def heard_of(discovered: Value, configured: Value) -> str:
    """Whether what is heard from the node is what it shall serve."""
    return "heard" if discovered and discovered == configured else "silent"


serves = module.variable(
    "serves",
    Text(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "sm1"),
    configured=True,
    summary="The sub-master that runs on the node",
)
heard = module.variable(
    "heard",
    Anything(),
    relation=Relation("submaster.serves", ("silent", "heard"), "heard", heard_of),
    while_={"boot.stage": "running"},
    summary="The sub-master that is heard from the node, in its present boot",
)
module.listens(
    heard,
    timeout_s=FRESH_S + SILENT_S,
    requires={"boot.stage": "running"},
    summary="Heard by the master, of which that sub-master is a child",
)


async def admit(node: Node, io: Io) -> None:
    """Give the node a fresh join file for its sub-master, and have it start."""
    if io.peers is None:
        raise KedgeError(
            "submaster.at_master", "only the master admits sub-masters", where=node.name,
            next_step="Put the node into a group without parents",
        )  # fmt: skip
    io.order(node.name, "submaster.admit", dict(io.peers.admit(str(node.configured(serves.name)))))


module.duty(
    "start",
    Path(__file__).with_name("duty.py").read_text(),
    carries_out=[
        module.edge(
            "admit",
            {heard: "heard"},
            where="node",
            requires={heard: "silent", "boot.stage": "running", "image.running": "wanted"},
            cost_s=30,
            timeout_s=ADMIT_TIMEOUT_S,
            summary="Give the node a fresh join file for its sub-master, and start that",
            handler=admit,
        )
    ],
    where_set=serves,
    summary="Takes the join file of a sub-master, and starts it",
)


@module.service
async def listen(io: Io) -> None:
    """Look which sub-masters are heard from their nodes."""
    await watch(io)
