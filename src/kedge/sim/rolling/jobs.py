"""A stream of jobs as large sites have them: many narrow and short ones, few wide or long ones.

The shares follow what is published of production logs (the Parallel Workloads Archive): half of the jobs
take minutes, most take few nodes, and most of the node-hours are in wide or long ones. People ask for
more time than they need.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

WIDTHS = ((0.55, 1, 1), (0.25, 2, 8), (0.14, 9, 64), (0.05, 65, 512), (0.01, 513, 1024))
"""Share of the jobs, and from how many to how many nodes they take."""

HOURS = ((0.5, 0.08, 1.0), (0.35, 1.0, 12.0), (0.15, 12.0, 70.0))
"""Share of the jobs, and from how many to how many hours they run."""

MOST_S = 72 * 3600.0
"""The longest time that a job may ask for."""


@dataclass(slots=True, eq=False)
class Job:
    """``limit_s`` is what was asked for, ``run_s`` what it takes. ``ends_at`` is what the scheduler
    knows: the limit."""

    number: int
    width: int
    limit_s: float
    run_s: float
    nodes: list[int] = field(default_factory=list[int])
    ends_at: float = 0.0
    done_at: float = 0.0
    over: bool = False


def stream(chance: random.Random, nodes: int) -> Iterator[Job]:
    """Jobs without end, none wider than a fifth of the cluster."""
    number = 0
    while True:
        number += 1
        _, least, most = _pick(chance, WIDTHS)
        width = min(max(1, nodes // 5), chance.randint(int(least), int(most)))
        _, low, high = _pick(chance, HOURS)
        run_s = 3600 * low * (high / low) ** chance.random()
        limit_s = min(MOST_S, run_s / chance.uniform(0.3, 1.0))
        yield Job(number, width, max(limit_s, run_s), run_s)


def _pick(
    chance: random.Random, choices: tuple[tuple[float, float, float], ...]
) -> tuple[float, float, float]:
    drawn = chance.random()
    for choice in choices:
        drawn -= choice[0]
        if drawn < 0:
            return choice
    return choices[-1]
