"""The two clocks of the master: one that only grows for deciding, one on the wall for people."""

from __future__ import annotations

import time

STEP_S = 0.5
"""So far the two clocks may drift apart before what is shown follows: a moment keeps its time."""


class Clock:
    """``now`` counts seconds since the machine started, suspended time included (CLOCK_BOOTTIME)."""

    def __init__(self) -> None:
        self._apart_s = time.time() - self.now()

    def now(self) -> float:
        """Seconds, for deadlines and the engine."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self, at: float | None = None) -> float:
        """Seconds since the epoch: now, or at the time ``at`` of the other clock."""
        wall = time.time()
        apart_s = wall - self.now()
        if abs(apart_s - self._apart_s) > STEP_S:
            self._apart_s = apart_s
        return wall if at is None else at + self._apart_s
