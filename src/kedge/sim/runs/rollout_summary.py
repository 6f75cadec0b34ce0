"""What came of the rollouts of a simulated world, for the summary; and how far they are, in a line."""

from __future__ import annotations

from kedge.lib.nodeset import fold
from kedge.sim.cluster import Cluster
from kedge.sim.runs.result import RolloutResult
from kedge.sim.watching.rollout_watch import Rolling


def words_of(one: Rolling) -> str:
    """``weekly: stage canary, 3 of 40 have 2026.12, 2 out``"""
    rollout, progress = one.rollout, one.progress
    state = progress.state.replace("_", " ")
    if progress.state == "running":
        state = f"stage {rollout.stages[progress.stage].name}"
    return f"{rollout.name}: {state}, {len(one.moved)} of {len(rollout.was)} moved"


def rollout_results(cluster: Cluster) -> tuple[RolloutResult, ...]:
    """One for each rollout that began."""
    return tuple(_result(cluster, one) for one in cluster.rollouts.every.values())


def _result(cluster: Cluster, one: Rolling) -> RolloutResult:
    rollout, progress = one.rollout, one.progress
    return RolloutResult(
        name=rollout.name,
        release=rollout.release,
        state=progress.state,
        why=progress.why,
        took_s=None if one.ended_at is None else one.ended_at - one.began_at,
        nodes=len(rollout.was),
        moved=len(one.moved),
        left=_left(cluster, one),
        lost_h=round(one.lost_s / 3600, 3),
        most_out=one.most_out,
        most_taken=one.most_taken,
        most_allowed=rollout.most_out,
        stops=tuple(one.stops),
        helped=tuple(one.helped),
    )


def _left(cluster: Cluster, one: Rolling) -> dict[str, str]:
    """Nodes that are not where the rollout was to bring them, by why."""
    found: dict[str, list[str]] = {}
    for node in cluster.rollouts.left(one):
        found.setdefault(_why(cluster, node), []).append(node)
    return {why: fold(nodes) for why, nodes in found.items()}


def _why(cluster: Cluster, node: str) -> str:
    known = cluster.scheduler.nodes[node] if cluster.scheduler is not None else None
    if known is not None and known.drained:
        return f"drained by {known.set_by}: {known.reason}"
    condition = cluster.condition(node)
    if condition is None:
        return "nobody serves it"
    if condition.phase in ("held", "quarantined", "blocked", "waiting"):
        return f"{condition.phase}: {condition.why}".replace(node, "NODE")
    return "it was not its turn yet"
