"""The costs of all ways over several seeds, in one report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from statistics import mean
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from kedge.sim.rolling.ways import SPAN_S, Cost, bound_h, measure


def report(nodes: int, seeds: Iterable[int], tell: Callable[[str], None]) -> dict[str, Any]:
    """Means over the seeds; ``lost`` is what ran less than without any update, ``out`` what nodes were
    out of service without a job, both in node-hours for each node updated."""
    every = list(seeds)
    runs = {seed: measure(nodes, seed, tell) for seed in every}
    return {
        "nodes": nodes,
        "seeds": every,
        "days": SPAN_S / 86_400,
        "lower_bound_h": round(mean(bound_h(nodes, seed) for seed in every), 4),
        "ways": [
            _row([costs[place] for costs in runs.values()]) for place in range(len(runs[every[0]]))
        ],
    }


def _row(costs: list[Cost]) -> dict[str, Any]:
    lost = [cost.lost for cost in costs]
    return {
        "way": costs[0].way,
        "updated": round(mean(cost.updated for cost in costs)),
        "out_h": round(mean(cost.out for cost in costs), 4),
        "lost_h": round(mean(lost), 4),
        "lost_least_h": round(min(lost), 4),
        "lost_most_h": round(max(lost), 4),
        "most_out": max(cost.most_out for cost in costs),
        "hours": round(mean(cost.hours for cost in costs), 1),
    }


def report_lines(found: dict[str, Any]) -> Iterator[RenderableType]:
    """For people."""
    yield (
        f"{found['nodes']} nodes, {found['days']:.0f} days, {len(found['seeds'])} seeds; "
        f"an update takes {found['lower_bound_h']:.3f} h: nothing can cost less"
    )
    table = Table(box=None, pad_edge=False)
    for title in ("way", "lost, h a node", "out, h a node", "most out at once", "took, h"):
        table.add_column(title, justify="left" if title == "way" else "right")
    for row in found["ways"]:
        table.add_row(
            row["way"], f"{row['lost_h']:.3f}", f"{row['out_h']:.3f}", str(row["most_out"]),
            f"{row['hours']:.0f}",
        )  # fmt: skip
    yield table
