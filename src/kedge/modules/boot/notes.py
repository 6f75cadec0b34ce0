"""Refusals in the event log, each at most once a minute: nobody can fill it by asking."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from kedge.modules.port import Io

QUIET_S = 60.0
KEPT = 2000
STRANGERS_PER_S = 10.0


class Notes:
    """Says what was refused, and how often since it was said last."""

    def __init__(self, io: Io, clock: Callable[[], float] = time.monotonic) -> None:
        self._io = io
        self._clock = clock
        self._said: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()
        self._budget = STRANGERS_PER_S
        self._filled_at = clock()

    def refused(self, node: str, subject: str, why: str) -> None:
        """Note it unless the same was noted within the last minute."""
        key = node, subject, why
        now = self._clock()
        at, unsaid = self._said.pop(key, (now - QUIET_S, 0))
        if now - at < QUIET_S:
            self._said[key] = at, unsaid + 1
            return
        times = f" ({unsaid} more times before)" if unsaid else ""
        self._io.event(node, "refused", subject, f"{why}{times}")
        self._said[key] = now, 0
        while len(self._said) > KEPT:
            self._said.popitem(last=False)

    def stranger_may_be_told(self) -> bool:
        """Whether another machine in no file may be reported now (a few a second)."""
        now = self._clock()
        self._budget += (now - self._filled_at) * STRANGERS_PER_S
        self._budget, self._filled_at = min(self._budget, 2 * STRANGERS_PER_S), now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True
