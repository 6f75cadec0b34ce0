"""The world: time, jobs that begin and end, and nodes that are updated; what is lost is counted."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from kedge.sim.rolling.jobs import Job
from kedge.sim.rolling.scheduler import Scheduler

Doing = Callable[[], None]


@dataclass(slots=True)
class Lost:
    """Node-seconds since `World.count_from`: with a job, and out of service without one."""

    busy_s: float = 0.0
    out_s: float = 0.0


class World:
    """Everything happens in the order of time; at one moment in the order in which it was planned."""

    def __init__(self, seed: int, nodes: int, *, update_s: float = 600.0) -> None:
        self.nodes = nodes
        self.now = 0.0
        self.scheduler = Scheduler(random.Random(f"jobs {seed}"), nodes, self._begun)
        self.freed: Callable[[int], None] = lambda node: None
        """Hears of every closed node whose job has ended."""
        self.changed: set[int] = set()
        """Nodes whose job began or ended since somebody looked."""
        self.lost = Lost()
        self._counting_since = 0.0
        self._busy = 0
        self._out = 0
        self._at = 0.0
        self._heap: list[tuple[float, int, Doing]] = []
        self._serial = 0
        self._pending = False
        self._durations = random.Random(f"durations {seed}")
        self._update_s = [
            update_s * self._durations.lognormvariate(0.0, 0.15) for _ in range(nodes)
        ]
        self._schedule_soon()

    def update_s(self, node: int) -> float:
        """How long the update of a node takes, check and return included."""
        return self._update_s[node] + 35.0

    # time

    def later(self, delay_s: float, doing: Doing) -> None:
        """Do something then."""
        self._serial += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._serial, doing))

    def run_until(self, end: float) -> None:
        """Let time pass."""
        while self._heap and self._heap[0][0] <= end:
            at, _, doing = heapq.heappop(self._heap)
            self._pass(at)
            doing()
        self._pass(end)

    def _pass(self, at: float) -> None:
        self.lost.busy_s += self._busy * (at - self.now)
        self.lost.out_s += self._out * (at - self.now)
        self.now = at

    def count_from_now(self) -> None:
        """Forget what was counted."""
        self.lost = Lost()

    # jobs

    def _schedule_soon(self) -> None:
        if not self._pending:
            self._pending = True
            self.later(1.0, self._schedule)

    def _schedule(self) -> None:
        self._pending = False
        self.scheduler.schedule(self.now)

    def _begun(self, job: Job) -> None:
        self._busy += job.width
        self.changed.update(job.nodes)
        self.later(job.run_s, lambda: self._ended(job))

    def lose(self, node: int) -> None:
        """The job of a node ends now, on all its nodes: one of them is gone."""
        job = self.scheduler.job[node]
        if job is not None:
            self._ended(job)

    def _ended(self, job: Job) -> None:
        if job.over:
            return
        job.over = True
        self.scheduler.end(job)
        self._busy -= job.width
        self.changed.update(job.nodes)
        for node in job.nodes:
            if not self.scheduler.open[node]:
                self._out += 1
                self.freed(node)
        self._schedule_soon()

    def close(self, node: int) -> bool:
        """The node takes no new jobs; whether it runs none."""
        assert self.scheduler.open[node]
        self.scheduler.close(node)
        idle = self.scheduler.job[node] is None
        self._out += idle
        return idle

    def reopen(self, node: int) -> None:
        """The node takes jobs again."""
        assert not self.scheduler.open[node]
        self._out -= self.scheduler.job[node] is None
        self.scheduler.reopen(node)
        self._schedule_soon()
