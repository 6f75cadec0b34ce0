"""A batch scheduler: first come, first served, with backfill (EASY: Lifka, 1995).

There are always more jobs than fit. The first job that does not fit gets a reservation; others may go
before it where they do not delay it. Nodes are given whole.
"""

from __future__ import annotations

import heapq
import random
from bisect import insort
from collections.abc import Callable

from kedge.sim.rolling.jobs import Job, stream

QUEUE = 200
"""So many jobs wait at any time."""


class Scheduler:
    """The nodes are numbers. ``begun`` hears of every job that begins."""

    def __init__(self, chance: random.Random, nodes: int, begun: Callable[[Job], None]) -> None:
        self._stream = stream(chance, nodes)
        self._begun = begun
        self._queue = [next(self._stream) for _ in range(QUEUE)]
        self._free = list(range(nodes))
        self._running: list[tuple[float, int, Job]] = []
        self.open = [True] * nodes
        """Whether a node takes new jobs."""
        self.job: list[Job | None] = [None] * nodes
        self.closes_at = float("inf")
        """Before this moment all jobs must be over: a reservation of the whole cluster."""

    def close(self, node: int) -> None:
        """No new jobs on a node."""
        self.open[node] = False

    def reopen(self, node: int) -> None:
        """It takes jobs again."""
        self.open[node] = True
        if self.job[node] is None:
            heapq.heappush(self._free, node)

    def end(self, job: Job) -> None:
        """A job is over."""
        self._running = [entry for entry in self._running if entry[2] is not job]
        for node in job.nodes:
            self.job[node] = None
            if self.open[node]:
                heapq.heappush(self._free, node)

    def schedule(self, now: float) -> None:
        """Begin what can begin."""
        free = self._usable()
        while self._queue and self._fits(self._queue[0], len(free), now):
            self._begin(self._queue.pop(0), free, now)
            self._queue.append(next(self._stream))
        if free:
            self._backfill(free, now)
        self._free = free
        heapq.heapify(self._free)

    def _usable(self) -> list[int]:
        free = {n for n in self._free if self.open[n] and self.job[n] is None}
        return sorted(free)

    def _fits(self, job: Job, free: int, now: float) -> bool:
        return job.width <= free and now + job.limit_s <= self.closes_at

    def _begin(self, job: Job, free: list[int], now: float) -> None:
        job.nodes = free[: job.width]
        del free[: job.width]
        job.ends_at, job.done_at = now + job.limit_s, now + job.run_s
        for node in job.nodes:
            self.job[node] = job
        insort(self._running, (job.ends_at, job.number, job))
        self._begun(job)

    def _backfill(self, free: list[int], now: float) -> None:
        """Jobs that do not delay the first one of the queue: they end before it can begin, or take
        nodes that it will not need."""
        first = self._queue[0]
        at, spare = self._shadow(first, len(free))
        place = 1
        while place < len(self._queue) and free:
            job = self._queue[place]
            in_time = now + job.limit_s <= at
            if self._fits(job, len(free), now) and (in_time or job.width <= spare):
                if not in_time:
                    spare -= job.width
                self._begin(self._queue.pop(place), free, now)
                self._queue.append(next(self._stream))
            else:
                place += 1

    def _shadow(self, first: Job, free: int) -> tuple[float, int]:
        """When the first job could begin at the latest, and how many nodes it leaves over then."""
        for ends_at, _, job in self._running:
            free += sum(map(self.open.__getitem__, job.nodes))
            if free >= first.width:
                return ends_at, free - first.width
        return float("inf"), max(0, free - first.width)
