"""Laying plans out in time, by the rules of `kedge.core.engine.budgets`.

It is a simulation of events, but not of single nodes: nodes of one class that have done the same are
one *batch*, which is split only where a pool has units for a part of it. So ten thousand nodes cost as
many events as there are moments at which something happens.

The rules are those of the engine: a step begins as soon as those before it are done, if it needs no
budget; otherwise it queues in all its pools and begins when it stands first in all of them and each has
a unit. Nodes that become ready at the same moment queue in the order of their classes, then of their
steps, then of their names; at each moment, what ends comes before what begins.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from kedge.core.engine.budgets import Pool
from kedge.core.foresight.classes import Limits, Move, NodeClass, Passage, Schedule, Stay


@dataclass(slots=True, eq=False)
class _Batch:
    """Nodes of one class, from ``first``, that have done the same. ``waiting`` maps a place to when it
    was ready, ``over`` to the stay that ended it."""

    owner: int
    first: int
    count: int
    done: int = 0
    begun: int = 0
    down_s: int = -1
    flying: dict[int, Stay] = field(default_factory=dict[int, Stay])
    waiting: dict[int, int] = field(default_factory=dict[int, int])
    over: dict[int, Stay] = field(default_factory=dict[int, Stay])

    def front(self, count: int) -> _Batch:
        """Split off the first ``count`` nodes."""
        part = _Batch(
            self.owner, self.first, count, self.done, self.begun, self.down_s,
            dict(self.flying), dict(self.waiting), dict(self.over),
        )  # fmt: skip
        self.first += count
        self.count -= count
        return part


_Place = tuple[int, int, int, int]
"""Where a batch stands in a queue: when it was ready, its class, the step's place, its first node."""


@dataclass(slots=True, eq=False)
class _Queue:
    """A pool: units in use, and who waits, in a heap; an entry counts only while it is still true."""

    limit: int
    used: int = 0
    waiting: list[tuple[_Place, int, _Batch]] = field(
        default_factory=list[tuple[_Place, int, _Batch]]
    )
    moved: Stay | None = None
    moved_s: int = -1

    def room(self, wanted: int) -> int:
        return wanted if self.limit == 0 else min(wanted, self.limit - self.used)

    def head(self) -> tuple[_Batch, int] | None:
        while self.waiting:
            (_, _, place, first), _, batch = self.waiting[0]
            if place in batch.waiting and batch.first == first:
                return batch, place
            heapq.heappop(self.waiting)
        return None


def schedule(classes: Sequence[NodeClass], limits: Limits) -> Schedule:
    """When every step of every node begins and ends, if each takes as long as expected."""
    return _Play(tuple(classes), limits).run()


class _Play:
    """One simulation."""

    def __init__(self, classes: tuple[NodeClass, ...], limits: Limits) -> None:
        self._classes = classes
        self._limits = limits
        self._queues: dict[Pool, _Queue] = {}
        self._ends: list[tuple[int, int, int, _Batch]] = []
        self._serial = 0
        self._now = 0
        self._freed: dict[Pool, None] = {}
        self._stays: list[Stay] = []
        self._passages: list[Passage] = []

    def run(self) -> Schedule:
        batches = [_Batch(i, 0, len(c.nodes)) for i, c in enumerate(self._classes)]
        for batch in batches:
            for place, move in enumerate(self._moves(batch)):
                if move.begun:
                    self._begin(batch, place, 0, None, None)
        self._go_on(batches)
        while self._ends:
            self._now = self._ends[0][0]
            self._go_on(self._end_all())
        return Schedule(self._classes, self._limits, tuple(self._stays), tuple(self._passages))

    def _moves(self, batch: _Batch) -> tuple[Move, ...]:
        return self._classes[batch.owner].moves

    def _queue(self, pool: Pool) -> _Queue:
        queue = self._queues.get(pool)
        if queue is None:
            queue = self._queues[pool] = _Queue(self._limits.get(pool, 0))
        return queue

    # --- ends ----------------------------------------------------------------------------------

    def _end_all(self) -> list[_Batch]:
        """End what ends now; the batches that it concerns."""
        ended: dict[_Batch, None] = {}
        while self._ends and self._ends[0][0] == self._now:
            _, _, place, batch = heapq.heappop(self._ends)
            stay = batch.over[place] = batch.flying.pop(place)
            batch.done |= 1 << place
            ended[batch] = None
            for pool in self._moves(batch)[place].takes:
                queue = self._queues[pool]
                if queue.used >= queue.limit > 0:
                    queue.moved, queue.moved_s = stay, self._now
                queue.used -= batch.count
                self._freed[pool] = None
        return list(ended)

    # --- beginnings ----------------------------------------------------------------------------

    def _go_on(self, batches: list[_Batch]) -> None:
        """Begin or queue what is ready in ``batches``, then serve the queues."""
        pools, self._freed = self._freed, {}
        ready: list[tuple[_Place, int, _Batch]] = []
        for batch in batches:
            moves = self._moves(batch)
            if batch.done == (1 << len(moves)) - 1:
                end = max(stay.end_s for stay in batch.over.values())
                self._passages.append(
                    Passage(batch.owner, batch.first, batch.count, end, batch.down_s)
                )
                continue
            for place, move in enumerate(moves):
                if not batch.begun >> place & 1 and not move.before & ~batch.done:
                    where = (self._now, batch.owner, place, batch.first)
                    ready.append((where, place, batch))
        for where, place, batch in sorted(ready, key=lambda entry: entry[0]):
            takes = self._moves(batch)[place].takes
            batch.begun |= 1 << place
            if not takes:
                self._begin(batch, place, self._now, self._before(batch, place), None)
                continue
            batch.waiting[place] = self._now
            for pool in takes:
                self._serial += 1
                heapq.heappush(self._queue(pool).waiting, (where, self._serial, batch))
                pools[pool] = None
        self._serve(list(pools))

    def _before(self, batch: _Batch, place: int) -> Stay | None:
        """The move whose end just now let this one begin."""
        mask = self._moves(batch)[place].before
        ended = (s for p, s in batch.over.items() if mask >> p & 1 and s.end_s == self._now)
        return next(ended, None)

    def _serve(self, pools: list[Pool]) -> None:
        """Give units to the heads of queues until none can be served."""
        while pools:
            pool = pools.pop()
            head = self._queue(pool).head()
            if head is None:
                continue
            batch, place = head
            takes = self._moves(batch)[place].takes
            queues = [self._queue(each) for each in takes]
            room = min(queue.room(batch.count) for queue in queues)
            if room > 0 and all(queue.head() == head for queue in queues):
                self._take(batch, place, room, takes, queues)
                pools.extend(takes)

    def _take(
        self, batch: _Batch, place: int, room: int, takes: tuple[Pool, ...], queues: list[_Queue]
    ) -> None:
        part = batch
        if room < batch.count:
            part = batch.front(room)
            for other, stay in part.flying.items():
                self._push_end(stay.end_s, other, part)
            for other, since in batch.waiting.items():
                self._queue_again(batch, other, since)
                if other != place:
                    self._queue_again(part, other, since)
        ready = part.waiting.pop(place)
        cause, through = self._before(part, place), None
        if ready != self._now:
            cause, through = self._let_go(takes)
        stay = self._begin(part, place, ready, cause, through)
        for queue in queues:
            if queue.moved_s != self._now:
                queue.moved, queue.moved_s = stay, self._now

    def _let_go(self, takes: tuple[Pool, ...]) -> tuple[Stay, Pool]:
        """Which stay just now gave way in one of the pools, and in which pool. Where nobody gave back a
        unit, somebody who stood before has begun: then what let that one go."""
        moved = [
            (queue.moved, pool)
            for pool in takes
            if (queue := self._queues[pool]).moved is not None and queue.moved_s == self._now
        ]
        for stay, pool in moved:
            if stay.end_s == self._now:
                return stay, pool
        first = moved[0][0]
        assert first.cause is not None and first.through is not None
        return first.cause, first.through

    def _queue_again(self, batch: _Batch, place: int, since: int) -> None:
        where = (since, batch.owner, place, batch.first)
        for pool in self._moves(batch)[place].takes:
            self._serial += 1
            heapq.heappush(self._queue(pool).waiting, (where, self._serial, batch))

    def _begin(
        self, batch: _Batch, place: int, ready: int, cause: Stay | None, through: Pool | None
    ) -> Stay:
        move = self._moves(batch)[place]
        end = self._now + max(1, move.duration_s)
        stay = Stay(
            batch.owner, place, batch.first, batch.count, ready, self._now, end, cause, through
        )
        batch.begun |= 1 << place
        batch.flying[place] = stay
        if move.breaking and batch.down_s < 0:
            batch.down_s = self._now
        for pool in move.takes:
            self._queue(pool).used += batch.count
        self._push_end(end, place, batch)
        self._stays.append(stay)
        return stay

    def _push_end(self, end: int, place: int, batch: _Batch) -> None:
        self._serial += 1
        heapq.heappush(self._ends, (end, self._serial, place, batch))
