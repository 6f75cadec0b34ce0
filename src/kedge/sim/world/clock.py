"""The clocks of a simulated machine: none of them is right, and one of them jumps.

True time counts seconds since the world began. A machine's boot clock runs a little faster or slower
and began elsewhere; its wall clock is the same with an offset that can be stepped.
"""

from __future__ import annotations

import math
from collections.abc import Callable

WALL_BEGAN_AT = 1_800_000_000.0
"""What a right wall clock says when the world begins."""


class MachineClock:
    """One machine's clocks, from the true time that ``true`` tells."""

    def __init__(self, true: Callable[[], float], *, start: float = 0.0, rate: float = 1.0) -> None:
        self._true = true
        self.rate = rate
        self._base_true = true()
        self._base = start
        self.wall_offset_s = 0.0

    def now(self) -> float:
        """Seconds on the boot clock, which only grows."""
        return self._base + (self._true() - self._base_true) * self.rate

    def wall(self) -> float:
        """Seconds since the epoch, as this machine believes."""
        began = self._base - self._base_true
        return WALL_BEGAN_AT + self.now() - began + self.wall_offset_s

    def true_at(self, moment: float) -> float:
        """The true time at which the boot clock shows ``moment``, and never, by rounding, less: a timer
        that comes before it is due would be set again for the same instant, for ever."""
        true = self._base_true + (moment - self._base) / self.rate
        while self._base + (true - self._base_true) * self.rate < moment:
            true = math.nextafter(true, math.inf)
        return true

    def run_at(self, rate: float) -> None:
        """From now on a second of true time is ``rate`` seconds here."""
        self._base, self._base_true, self.rate = self.now(), self._true(), rate
