"""One heap of timers for all nodes.

A timer is never taken out before it is due: whoever set it checks, when it comes due, whether it
still means anything. So the heap holds at most a few entries per node, and setting one costs O(log n).
"""

from __future__ import annotations

import heapq
from typing import Literal

Sort = Literal["poll", "asked", "step", "look", "wake", "group"]


class Timers:
    """Timers by due time; equal times come due in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, Sort, int]] = []
        self._set = 0

    def set(self, when: float, node: str, sort: Sort, key: int = 0) -> None:
        """Be told of ``(node, sort, key)`` at ``when``."""
        self._set += 1
        heapq.heappush(self._heap, (when, self._set, node, sort, key))

    def due(self, now: float) -> tuple[float, str, Sort, int] | None:
        """Take out the next timer that is due."""
        if not self._heap or self._heap[0][0] > now:
            return None
        when, _, node, sort, key = heapq.heappop(self._heap)
        return when, node, sort, key

    def next(self) -> float | None:
        """When the next one is due."""
        return self._heap[0][0] if self._heap else None
