"""One heap of timers for all nodes.

A timer is for one node, for many that began something together, or for a group or a part of the nodes.
It is never taken out before it is due: whoever set it checks, when it comes due, whether it still means
anything. So the heap holds a few entries per node or cohort, and setting one costs O(log n).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kedge.core.engine.columns import Rows, Serials

Sort = Literal["poll", "asked", "step", "look", "wake", "group"]


@dataclass(frozen=True, slots=True)
class Timer:
    """What comes due: ``about`` is the number of an action or discovery, ``level`` how often it was
    looked already, or which part of the nodes is polled. ``serials`` are those of the steps."""

    sort: Sort
    rows: Rows | int = -1
    about: int = 0
    level: int = 0
    serials: Serials | int = 0
    group: str = ""

    def again(self, rows: Rows, serials: Serials) -> Timer:
        """The same for other nodes; a single one is kept as a number."""
        if len(rows) == 1:
            one = int(serials[0]) if len(serials) else 0
            return Timer(self.sort, int(rows[0]), self.about, self.level, one, self.group)
        return Timer(self.sort, rows, self.about, self.level, serials, self.group)


class Timers:
    """Timers by due time; equal times come due in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._set = 0
        self.watched: list[tuple[float, Timer]] | None = None
        """Where it is a list, what is set is put there, too, with the delay."""

    def set(self, now: float, delay_s: float, timer: Timer) -> None:
        """Be told of ``timer`` at ``now + delay_s``."""
        self._set += 1
        heapq.heappush(self._heap, (now + delay_s, self._set, timer))
        if self.watched is not None:
            self.watched.append((delay_s, timer))

    def due(self, now: float) -> tuple[float, Timer] | None:
        """Take out the next timer that is due."""
        if not self._heap or self._heap[0][0] > now:
            return None
        when, _, timer = heapq.heappop(self._heap)
        return when, timer

    def translate(self, over: Callable[[Timer], Timer | None]) -> None:
        """Put another timer in the place of each, due when it was; None takes it out."""
        translated = ((when, place, over(timer)) for when, place, timer in self._heap)
        self._heap = [(when, place, timer) for when, place, timer in translated if timer]
        heapq.heapify(self._heap)

    def next(self) -> float | None:
        """When the next one is due."""
        return self._heap[0][0] if self._heap else None
