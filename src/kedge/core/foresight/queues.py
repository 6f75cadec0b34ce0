"""Batches of alike nodes, and the queues that they stand in: `kedge.core.engine.budgets` for batches.

A batch stands in a queue as a whole and leaves it in parts, as many nodes at once as the pool has units.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.events import Pool, Pools
from kedge.core.foresight.classes import Stay

Cause = tuple[Stay, Pool | None, bool]
"""The stay whose end let somebody begin, the pool that it left for it, and whether that is a span's."""

SPAN = -1
"""In place of a move's place: the batch waits for its span."""


@dataclass(slots=True, eq=False)
class Batch:
    """Nodes of one class, from ``first``, that have done the same.

    ``begun`` are moves that run, are over or wait in queues; ``waiting`` maps a place to the moment at
    which it was ready, ``over`` to the stay that ended it. ``spanned`` says whether it has its span (or
    needs none), ``granted`` since when, since when it had waited for it, and what it got it from.
    """

    owner: int
    first: int
    count: int
    spanned: bool = True
    done: int = 0
    begun: int = 0
    down_s: int = -1
    flying: dict[int, Stay] = field(default_factory=dict[int, Stay])
    waiting: dict[int, int] = field(default_factory=dict[int, int])
    over: dict[int, Stay] = field(default_factory=dict[int, Stay])
    granted: tuple[int, int, Cause | None] = (-1, -1, None)

    def front(self, count: int) -> Batch:
        """Split off the first ``count`` nodes."""
        part = Batch(
            self.owner, self.first, count, self.spanned, self.done, self.begun, self.down_s,
            dict(self.flying), dict(self.waiting), dict(self.over), self.granted,
        )  # fmt: skip
        self.first += count
        self.count -= count
        return part


Standing = tuple[int, int, int, int]
"""Where a batch stands in a queue: when it was ready, its class, the move's place, its first node."""


@dataclass(slots=True, eq=False)
class _Queue:
    """A pool. ``waiting`` is a heap whose entries count only while they are still true; ``moved`` is
    what last let somebody go in, at ``moved_s``: a stay that left it when it was full, or where one that
    stood before went in, what let that one go."""

    limit: int
    used: int
    waiting: list[tuple[Standing, int, Batch]] = field(
        default_factory=list[tuple[Standing, int, Batch]]
    )
    moved: Cause | None = None
    moved_s: int = -1

    def head(self) -> tuple[Batch, int] | None:
        """The batch that comes first, and the place of the move it waits with."""
        while self.waiting:
            (_, _, place, first), _, batch = self.waiting[0]
            if place in batch.waiting and batch.first == first:
                return batch, place
            heapq.heappop(self.waiting)
        return None


class Queues:
    """All pools of one sort: of spans where it is said how much of them is ``spent``, else of steps."""

    def __init__(self, limits: Mapping[Pool, int], spent: Mapping[Pool, int] | None) -> None:
        self._limits = limits
        self._span = spent is not None
        self._spent = spent or {}
        self._queues: dict[Pool, _Queue] = {}
        self._serial = 0

    def _queue(self, pool: Pool) -> _Queue:
        queue = self._queues.get(pool)
        if queue is None:
            limit, used = self._limits.get(pool, 0), self._spent.get(pool, 0)
            queue = self._queues[pool] = _Queue(limit, used)
        return queue

    def wait(self, batch: Batch, place: int, pools: Pools, since: int) -> None:
        """Stand in the queues of ``pools`` (again, where the batch has become smaller)."""
        batch.waiting[place] = since
        standing = (since, batch.owner, place, batch.first)
        for pool in pools:
            self._serial += 1
            heapq.heappush(self._queue(pool).waiting, (standing, self._serial, batch))

    def head(self, pool: Pool) -> tuple[Batch, int] | None:
        """Who comes first in a pool."""
        return self._queue(pool).head()

    def room(self, batch: Batch, place: int, pools: Pools) -> int:
        """How many nodes of the batch may go now: it must come first in all its pools."""
        room = batch.count
        for pool in pools:
            queue = self._queue(pool)
            if queue.head() != (batch, place):
                return 0
            if queue.limit:
                room = min(room, queue.limit - queue.used)
        return max(0, room)

    def use(self, pools: Pools, count: int) -> None:
        """``count`` nodes use one unit each."""
        for pool in pools:
            self._queue(pool).used += count

    def enter(self, pools: Pools, count: int, now: int) -> Cause | None:
        """``count`` nodes that waited use one unit each; what let them go."""
        queues = [self._queue(pool) for pool in pools]
        cause = next((q.moved for q in queues if q.moved_s == now and q.moved), None)
        for queue in queues:
            queue.used += count
            if queue.moved_s != now:
                queue.moved, queue.moved_s = cause, now
        return cause

    def leave(self, pools: Pools, count: int, stay: Stay, now: int) -> None:
        """``count`` nodes give their units back, at the end of ``stay``."""
        for pool in pools:
            queue = self._queue(pool)
            if queue.used >= queue.limit > 0:
                queue.moved, queue.moved_s = (stay, pool, self._span), now
            queue.used -= count

    def full(self, pools: Pools) -> Pool | None:
        """The first of the pools that has no room."""
        for pool in pools:
            queue = self._queue(pool)
            if queue.used >= queue.limit > 0:
                return pool
        return None
