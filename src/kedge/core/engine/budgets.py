"""Step budgets: how many steps may run at once in a pool (a rack's inrush current, a boot server).

All that a step needs is taken at once or not at all, and given back when it ends, so nobody ever
holds a part while waiting for the rest: there is no deadlock. Waiters queue per pool in order of
arrival and are served only at the head of *all* their queues, so a younger one passes an older one
only if they share no pool: there is no starvation.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

Pool = tuple[str, str]
"""(budget, pool)."""


@dataclass(slots=True)
class _Queue:
    limit: int = 0
    used: int = 0
    waiting: deque[str] = field(default_factory=deque[str])

    @property
    def free(self) -> bool:
        return self.limit == 0 or self.used < self.limit


class Budgets:
    """Units in use and who waits; a holder is any unique text (node and step)."""

    def __init__(self) -> None:
        self._queues: dict[Pool, _Queue] = {}
        self._wants: dict[str, tuple[Pool, ...]] = {}
        self._holds: dict[str, tuple[Pool, ...]] = {}

    def limit(self, pool: Pool, limit: int) -> list[str]:
        """Set a pool's limit (0: none); returns the waiters that may now be worth trying."""
        self._queue(pool).limit = limit
        return self._heads((pool,))

    def take(self, holder: str, pools: tuple[Pool, ...]) -> bool:
        """Take one unit of each pool, or queue. Call again when told; the place is kept."""
        if holder in self._holds:
            return True
        wanted = self._wants.get(holder)
        if wanted is not None and wanted != pools:
            self.withdraw(holder)
            wanted = None
        if wanted is None:
            self._wants[holder] = pools
            for pool in pools:
                self._queue(pool).waiting.append(holder)
        queues = [self._queue(pool) for pool in pools]
        if not all(q.waiting[0] == holder and q.free for q in queues):
            return False
        for queue in queues:
            queue.waiting.popleft()
            queue.used += 1
        del self._wants[holder]
        self._holds[holder] = pools
        return True

    def release(self, holder: str) -> list[str]:
        """Give back what a step held; returns those who may now be worth trying."""
        pools = self._holds.pop(holder, ())
        for pool in pools:
            self._queues[pool].used -= 1
        return self._heads(pools)

    def withdraw(self, holder: str) -> list[str]:
        """Stop waiting; returns those who may now be worth trying."""
        pools = self._wants.pop(holder, ())
        for pool in pools:
            self._queues[pool].waiting.remove(holder)
        return self._heads(pools)

    def heads(self, holder: str) -> list[str]:
        """Who stands first, with room, in the pools that ``holder`` has just been given."""
        return self._heads(self._holds.get(holder, ()))

    def waits_for(self, holder: str) -> tuple[Pool, int, int] | None:
        """The first pool that a waiter lacks, with its limit and the number ahead of it."""
        for pool in self._wants.get(holder, ()):
            queue = self._queues[pool]
            ahead = queue.waiting.index(holder)
            if ahead or not queue.free:
                return pool, queue.limit, ahead
        return None

    def _queue(self, pool: Pool) -> _Queue:
        return self._queues.setdefault(pool, _Queue())

    def _heads(self, pools: tuple[Pool, ...]) -> list[str]:
        queues = [self._queues[pool] for pool in pools]
        return [q.waiting[0] for q in queues if q.waiting and q.free]
