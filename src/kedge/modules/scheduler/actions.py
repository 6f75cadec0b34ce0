"""The scheduler module's own verbs: hand nodes back that only a person may bring back."""

from __future__ import annotations

from collections.abc import Mapping

from kedge.core.kinds import Value
from kedge.core.module import Module
from kedge.lib import nodeset
from kedge.lib.errors import KedgeError
from kedge.modules.port import Io
from kedge.modules.scheduler.driver import BY_HAND, OURS
from kedge.modules.scheduler.watching import watch_of


async def give_back(io: Io, args: Mapping[str, Value]) -> Value:
    """Leave the end of Kedge's own drains that were kept for a person to Kedge: ``{"nodes"}``."""
    names = _named(io, args.get("nodes"))
    theirs: list[str] = []
    ours: list[str] = []
    for name in names:
        node = io.node(name)
        if node is None:
            raise KedgeError("node.unknown", f"no such node: {name}")
        reason = str(node.seen("scheduler.reason") or "")
        (ours if reason.startswith(BY_HAND) else theirs).append(name)
    if theirs:
        raise KedgeError(
            "scheduler.theirs", f"not drained by Kedge for a person: {nodeset.fold(theirs)}",
            next_step="scontrol update nodename=... state=resume",
        )  # fmt: skip
    for name in ours:
        node = io.node(name)
        if node is not None:
            await watch_of(io).give("note", node, f"{OURS} handed back by a person")
    return {"nodes": nodeset.fold(ours)}


def _named(io: Io, nodes: Value) -> list[str]:
    groups = {name: group.nodes for name, group in io.site.groups.items()}
    return nodeset.expand(str(nodes or ""), groups=groups)


async def requeue(io: Io, args: Mapping[str, Value]) -> Value:
    """Requeue the jobs of ``{"nodes"}`` (a nodeset or a list) that Kedge is draining."""
    given = args.get("nodes")
    names = [str(n) for n in given] if isinstance(given, list) else _named(io, given)
    jobs = await watch_of(io).requeue(names)
    for name in names:
        io.event(name, "scheduler", "requeue", ", ".join(jobs) or "no job ran")
    return {"nodes": nodeset.fold(names), "jobs": list(jobs)}


async def show(io: Io, args: Mapping[str, Value]) -> Value:
    """Every node as the scheduler has it."""
    rows: list[Value] = []
    for name, node in io.nodes().items():
        jobs = node.seen("scheduler.jobs")
        rows.append(
            {
                "node": name,
                "state": node.seen("scheduler.state"),
                "drained_by": node.seen("scheduler.drained_by"),
                "release": node.seen("scheduler.release"),
                "jobs": len(jobs) if isinstance(jobs, list) else 0,
                "notice": node.seen("scheduler.notice"),
            }
        )
    return rows


def declare(module: Module) -> None:
    """Add the verbs to the module."""
    module.action("give-back")(give_back)
    module.action("requeue")(requeue)
    module.action("status", harmless=True)(show)
