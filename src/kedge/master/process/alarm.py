"""One timer on the event loop, for somebody who says again and again when it is next wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kedge.master.process.clock import Clock


class Alarm:
    """Calls ``ring`` at a moment of the master's clock."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None

    def set(self, due: float | None) -> None:
        """Ring then, and at no other time; None: do not."""
        if self._timer is not None:
            if due == self._due:
                return
            self.cancel()
        self._due = due
        if due is not None:
            delay_s = max(0.0, due - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._rung)

    def cancel(self) -> None:
        """Do not ring any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rung(self) -> None:
        self._timer = None
        self._ring()
