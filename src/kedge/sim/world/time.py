"""The simulated world's time: one queue of what happens when, worked off in one order.

Time passes only here. What happens at one instant happens in the order in which it was asked for, so
a world with the same seed and the same commands is the same world, event by event.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from kedge.sim.world.streams import Streams


class Runnable(Protocol):
    """Something to be done at its time, if nobody has cancelled it."""

    def run(self) -> None: ...
    def cancelled(self) -> bool: ...


class Timer:
    """A call at a moment of true time."""

    __slots__ = ("_args", "_call", "_cancelled")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._call = call
        self._args = args
        self._cancelled = False

    def run(self) -> None:
        """Make the call."""
        self._call(*self._args)

    def cancel(self) -> None:
        """Do not make it."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Whether it will not be made."""
        return self._cancelled


class World:
    """True time, chance, and what is still to come."""

    def __init__(self, seed: int) -> None:
        self.streams = Streams(seed)
        self.now = 0.0
        self.happened = 0
        self.halted = False
        self._later: list[tuple[float, int, Runnable]] = []
        self._now: deque[Runnable] = deque()
        self._count = 0

    def time(self) -> float:
        """True time in seconds since the world began."""
        return self.now

    def at(self, when: float, call: Callable[..., object], *args: Any) -> Timer:
        """Call at a moment of true time (at once, if it has passed)."""
        timer = Timer(call, args)
        self.put(when, timer)
        return timer

    def after(self, delay_s: float, call: Callable[..., object], *args: Any) -> Timer:
        """Call in ``delay_s`` seconds of true time."""
        return self.at(self.now + delay_s, call, *args)

    def put(self, when: float, thing: Runnable) -> None:
        """Have ``thing`` run at a moment of true time."""
        if when <= self.now:
            self._now.append(thing)
            return
        self._count += 1
        heapq.heappush(self._later, (when, self._count, thing))

    def due(self) -> list[Runnable]:
        """What is to run at this instant."""
        return list(self._now)

    def soon(self, thing: Runnable) -> None:
        """Have ``thing`` run at this instant, after all that was asked for before it."""
        self._now.append(thing)

    def run_until(self, until: float) -> None:
        """Let time pass, up to and including ``until``; or until somebody sets ``halted``."""
        now, later = self._now, self._later
        while not self.halted:
            if now:
                thing = now.popleft()
            elif later and later[0][0] <= until:
                self.now, _, thing = heapq.heappop(later)
            else:
                break
            if not thing.cancelled():
                self.happened += 1
                thing.run()
        if not self.halted:
            self.now = max(self.now, until)
