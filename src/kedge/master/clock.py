"""The two clocks of the master: one that only grows for deciding, one on the wall for people."""

from __future__ import annotations

import time


class Clock:
    """``now`` counts seconds since the machine started, suspended time included (CLOCK_BOOTTIME)."""

    def now(self) -> float:
        """Seconds, for deadlines and the engine."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self, at: float | None = None) -> float:
        """Seconds since the epoch: now, or at the time ``at`` of the other clock."""
        wall = time.time()
        return wall if at is None else wall - (self.now() - at)
