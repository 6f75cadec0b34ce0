"""Laying plans out in time, by the rules of `kedge.core.engine.budgets`.

It is a simulation of events, but not of single nodes: nodes of one class that have done the same are
one *batch*, which is split only where a pool has units for a part of it. So ten thousand nodes cost as
many events as there are moments at which something happens.

The rules are those of the engine: a step begins as soon as those before it are done, if it needs no
budget; otherwise it queues in all its pools and begins when it stands first in all of them and each has
a unit. Before its first breaking step a node takes its span, and keeps it until its last step is over.
Nodes that become ready at the same moment queue in the order of their classes, then of their steps,
then of their names; at each moment, what ends comes before what begins, and spans before steps.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from kedge.core.events import Pool
from kedge.core.foresight.classes import (
    Limits,
    Move,
    NodeClass,
    Passage,
    Schedule,
    Stay,
    Stuck,
)
from kedge.core.foresight.queues import SPAN, Batch, Cause, Queues


def schedule(classes: Sequence[NodeClass], limits: Limits) -> Schedule:
    """When every step of every node begins and ends, if each takes as long as expected."""
    return _Play(tuple(classes), limits).run()


class _Play:
    """One simulation."""

    def __init__(self, classes: tuple[NodeClass, ...], limits: Limits) -> None:
        self._classes = classes
        self._limits = limits
        self._steps = Queues(limits.steps, None)
        self._spans = Queues(limits.spans, limits.spent)
        self._ends: list[tuple[int, int, int, Batch]] = []
        self._serial = 0
        self._now = 0
        self._freed: dict[Pool, None] = {}
        self._freed_spans: dict[Pool, None] = {}
        self._alive: dict[Batch, None] = {}
        self._stays: list[Stay] = []
        self._passages: list[Passage] = []

    def run(self) -> Schedule:
        for owner, each in enumerate(self._classes):
            spanned = each.counted or not each.spans or not any(m.breaking for m in each.moves)
            batch = Batch(owner, 0, len(each.nodes), spanned)
            self._alive[batch] = None
            begun = [place for place, move in enumerate(each.moves) if move.begun]
            if each.spans and (each.counted or any(each.moves[place].breaking for place in begun)):
                self._spans.use(each.spans, batch.count)
                batch.spanned = True
            for place in begun:
                self._steps.use(each.moves[place].takes, batch.count)
                self._begin(batch, place, 0, None)
        self._go_on(list(self._alive))
        while self._ends:
            self._now = self._ends[0][0]
            self._go_on(self._end_all())
        stuck = tuple(Stuck(b.owner, b.first, b.count, self._lacks(b)) for b in self._alive)
        return Schedule(
            self._classes, self._limits, tuple(self._stays), tuple(self._passages), stuck
        )

    def _moves(self, batch: Batch) -> tuple[Move, ...]:
        return self._classes[batch.owner].moves

    def _lacks(self, batch: Batch) -> Pool:
        """The pool that a batch waits for for ever: one that is full, or that somebody ahead lacks."""
        heads, seen = [batch], {batch}
        for each in heads:
            pools = self._classes[each.owner].spans
            lacking = self._spans.full(pools)
            if lacking is not None:
                return lacking
            for pool in pools:
                head = self._spans.head(pool)
                if head is not None and head[0] not in seen:
                    seen.add(head[0])
                    heads.append(head[0])
        raise AssertionError("nobody waits for a pool with room")

    # --- ends ----------------------------------------------------------------------------------

    def _end_all(self) -> list[Batch]:
        """End what ends now; the batches that it concerns."""
        ended: dict[Batch, None] = {}
        while self._ends and self._ends[0][0] == self._now:
            _, _, place, batch = heapq.heappop(self._ends)
            stay = batch.over[place] = batch.flying.pop(place)
            batch.done |= 1 << place
            ended[batch] = None
            takes = self._moves(batch)[place].takes
            self._steps.leave(takes, batch.count, stay, self._now)
            self._freed.update(dict.fromkeys(takes))
        return [batch for batch in ended if not self._is_over(batch)]

    def _is_over(self, batch: Batch) -> bool:
        """Whether it has made its last move; then it gives its span back."""
        each = self._classes[batch.owner]
        if batch.done != (1 << len(each.moves)) - 1:
            return False
        last = max(batch.over.values(), key=lambda stay: stay.end_s)
        self._passages.append(
            Passage(batch.owner, batch.first, batch.count, last.end_s, batch.down_s)
        )
        del self._alive[batch]
        if each.spans and (each.counted or batch.down_s >= 0):
            self._spans.leave(each.spans, batch.count, last, self._now)
            self._freed_spans.update(dict.fromkeys(each.spans))
        return True

    # --- beginnings ----------------------------------------------------------------------------

    def _go_on(self, batches: list[Batch]) -> None:
        """Let begin or queue what can: first who needs a span for it, then all, then those who wait."""
        spans, self._freed_spans = self._freed_spans, {}
        pools, self._freed = self._freed, {}
        for batch in batches:
            if not batch.spanned and SPAN not in batch.waiting and self._breaks_next(batch):
                each = self._classes[batch.owner].spans
                self._spans.wait(batch, SPAN, each, self._now)
                spans.update(dict.fromkeys(each))
        fresh = {(b.owner, b.first): b for b in (*batches, *self._serve_spans(list(spans)))}
        ready = [
            (batch.owner, place, batch.first)
            for batch in fresh.values()
            for place in range(len(self._moves(batch)))
            if self._may_go(batch, place)
        ]
        for owner, place, first in sorted(ready):
            batch = fresh[owner, first]
            takes = self._moves(batch)[place].takes
            batch.begun |= 1 << place
            if takes:
                self._steps.wait(batch, place, takes, self._now)
                pools.update(dict.fromkeys(takes))
            else:
                self._begin(batch, place, *self._before(batch, place))
        self._serve_steps(list(pools))

    def _may_go(self, batch: Batch, place: int) -> bool:
        move = self._moves(batch)[place]
        ready = not batch.begun >> place & 1 and not move.before & ~batch.done
        return ready and (batch.spanned or not move.breaking)

    def _breaks_next(self, batch: Batch) -> bool:
        return any(
            move.breaking and not batch.begun >> place & 1 and not move.before & ~batch.done
            for place, move in enumerate(self._moves(batch))
        )

    def _before(self, batch: Batch, place: int) -> tuple[int, Cause | None]:
        """Since when a move is ready that is not in a queue of its own any more, and what let it go:
        a move of the same node that ended just now, or its span."""
        move = self._moves(batch)[place]
        for other, stay in batch.over.items():
            if move.before >> other & 1 and stay.end_s == self._now:
                return self._now, (stay, None, False)
        when, since, cause = batch.granted
        return (since, cause) if move.breaking and when == self._now else (self._now, None)

    def _serve_spans(self, pools: list[Pool]) -> list[Batch]:
        """Give spans to who comes first; the batches that have theirs now."""
        served: list[Batch] = []
        while pools:
            head = self._spans.head(pools.pop())
            if head is None:
                continue
            batch, _ = head
            spans = self._classes[batch.owner].spans
            room = self._spans.room(batch, SPAN, spans)
            if room:
                part = self._split(batch, room)
                since = part.waiting.pop(SPAN)
                part.spanned = True
                cause = self._spans.enter(spans, part.count, self._now)
                part.granted = (self._now, since, cause if since < self._now else None)
                served.append(part)
                pools.extend(spans)
        return served

    def _serve_steps(self, pools: list[Pool]) -> None:
        """Give units to who comes first, until nobody can be served."""
        while pools:
            head = self._steps.head(pools.pop())
            if head is None:
                continue
            batch, place = head
            takes = self._moves(batch)[place].takes
            room = self._steps.room(batch, place, takes)
            if not room:
                continue
            part = self._split(batch, room)
            queued = part.waiting.pop(place)
            let_go = self._steps.enter(takes, part.count, self._now)
            ready, cause = self._before(part, place)
            if queued < self._now:
                when, since, _ = part.granted
                ready = since if self._moves(part)[place].breaking and when == queued else queued
                cause = let_go
            self._begin(part, place, ready, cause)
            pools.extend(takes)

    def _split(self, batch: Batch, count: int) -> Batch:
        """The first ``count`` nodes; both parts stand where the whole stood."""
        if count == batch.count:
            return batch
        part = batch.front(count)
        self._alive[part] = None
        for other, stay in part.flying.items():
            self._push_end(stay.end_s, other, part)
        for other, since in batch.waiting.items():
            for each in (batch, part):
                if other == SPAN:
                    self._spans.wait(each, other, self._classes[each.owner].spans, since)
                else:
                    self._steps.wait(each, other, self._moves(each)[other].takes, since)
        return part

    def _begin(self, batch: Batch, place: int, ready: int, cause: Cause | None) -> None:
        """A move begins; its units are taken."""
        move = self._moves(batch)[place]
        if move.breaking and batch.down_s < 0:
            batch.down_s = self._now
        end = self._now + max(1, move.duration_s)
        stay = Stay(
            batch.owner, place, batch.first, batch.count, ready, self._now, end,
            *(cause or (None, None, False)), batch.down_s,
        )  # fmt: skip
        batch.begun |= 1 << place
        batch.flying[place] = stay
        self._push_end(end, place, batch)
        self._stays.append(stay)

    def _push_end(self, end: int, place: int, batch: Batch) -> None:
        self._serial += 1
        heapq.heappush(self._ends, (end, self._serial, place, batch))
