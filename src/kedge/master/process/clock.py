"""The two clocks of the master: one that only grows for deciding, one on the wall for people."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_S = 0.5
"""So far the two clocks may drift apart before what is shown follows: a moment keeps its time."""


class Clock:
    """``now`` counts seconds since the machine started, suspended time included (CLOCK_BOOTTIME)."""

    def __init__(
        self, now: Callable[[], float] | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        self._now = now or _since_start
        self._wall = wall
        self._apart_s = self._wall() - self._now()

    def now(self) -> float:
        """Seconds, for deadlines and the engine."""
        return self._now()

    def wall(self, at: float | None = None) -> float:
        """Seconds since the epoch: now, or at the time ``at`` of the other clock."""
        wall = self._wall()
        apart_s = wall - self.now()
        if abs(apart_s - self._apart_s) > STEP_S:
            self._apart_s = apart_s
        return wall if at is None else at + self._apart_s


def _since_start() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
