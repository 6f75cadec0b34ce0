"""What came of a simulated run, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kedge.cli.render import duration, table
from kedge.lib.nodeset import fold

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kedge.sim.runs.result import Result, RolloutResult


def summary_lines(result: Result) -> Iterator[RenderableType]:
    """The summary of a run: what was done, what came of it, how long it took."""
    from kedge.sim.watching.watch import BUSY

    shown = table("", "")
    span = duration(result.simulated_s)
    took = duration(result.took_s) if result.took_s >= 10 else f"{result.took_s:.1f} s"
    shown.add_row("nodes", f"{result.nodes}, seed {result.seed}")
    shown.add_row("time", f"{span} simulated in {took}: {result.node_hours_per_s:.0f} node-hours/s")
    shown.add_row("faults", _counts(result.injected) or "none")
    shown.add_row("steps", _counts(result.steps) or "none")
    shown.add_row("outcomes", _counts(result.outcomes) or "none")
    shown.add_row("to BMCs", _counts(result.commands) or "nothing")
    if result.jobs:
        done, lost = int(result.jobs["done"]), int(result.jobs["lost"])
        shown.add_row(
            "jobs", f"{done} ended, {lost} lost ({result.jobs['lost_s'] / 3600:.1f} h of work)"
        )
    killed = sum(violation.rule == BUSY for violation in result.violations)
    for rollout in result.rollouts:
        shown.add_row("rollout", "\n".join(rollout_lines(rollout, killed)))
    shown.add_row("sync", f"{result.datagrams} datagrams, {result.datagram_bytes / 1e6:.1f} MB")
    if result.settled_s is not None and result.injected:
        shown.add_row("converged", f"{duration(result.settled_s)} after the last fault ended")
    shown.add_row("in the end", _counts(result.phases))
    yield shown
    by_reason: dict[str, list[str]] = {}
    for node, why in result.named.items():
        by_reason.setdefault(why.replace(node, "NODE"), []).append(node)
    for why, nodes in by_reason.items():
        yield f"waited for a person: {fold(nodes)}: {why}"
    for text in result.refused:
        yield f"refused: {text}"


def rollout_lines(one: RolloutResult, killed: int) -> Iterator[str]:
    """A rollout: how it ended, what it cost, who is left."""
    took = f" after {duration(one.took_s)}" if one.took_s is not None else ""
    why = f": {one.why}" if one.why and one.state != "done" else ""
    yield f"{one.name} to {one.release}: {one.state.replace('_', ' ')}{took}{why}"
    each = f" ({one.lost_h / one.moved:.3f} a node)" if one.moved else ""
    yield f"{one.moved} of {one.nodes} nodes moved; {one.lost_h:.1f} node-hours lost{each}"
    yield (
        f"most out at once: {one.most_taken} through it, {one.most_out} for whatever reason; "
        f"{one.most_allowed} may be"
    )
    yield f"jobs killed by Kedge: {killed}"
    for at_s, what in one.stops:
        yield f"stopped at {duration(at_s)}: {what}"
    if one.helped:
        yield f"a person said: {', '.join(one.helped)}"
    for reason, nodes in one.left.items():
        yield f"left: {nodes}: {reason}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())
