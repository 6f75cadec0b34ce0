"""Budgets: how many may use a pool at once, and who comes next (a rack's inrush, nodes out of service).

The same class serves both sorts. A *step* budget is taken by a step (the holder is node and step) and
given back when it ends. A *span* budget is taken by a node before its first step that takes it out of
service, and given back when it is in service again; a node that is down by itself is *counted* in its
pools although it took nothing, and may take what it is counted in already.

Why nobody waits for ever: all that a holder needs is taken at once or not at all, so nobody holds a
part while waiting for the rest. Who waits has one ticket, the same in all its pools, and is served
only where no older ticket waits; so the oldest of all waiters stands first everywhere, and gets what
it wants as soon as there is room. A younger one passes an older one only if they share no pool. The
caller keeps two rules: it never waits for a span while it holds anything, and never holds a step
budget while it waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, islice

from kedge.core.engine.line import Line

Pool = tuple[str, str]
"""(budget, pool): ``("power.inrush", "rack 7")``."""

Pools = tuple[Pool, ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """What a waiter lacks: the first pool that is full, or where others come first. ``share`` is what
    may be used here of a limit that others share (None: all of it)."""

    pool: Pool
    limit: int
    used: int
    ahead: int
    share: int | None = None
    others: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """One pool, to be looked at. ``counted`` are those that use it without holding anything;
    ``waiting`` are in order."""

    pool: Pool
    limit: int
    used: int
    holders: tuple[str, ...]
    counted: tuple[str, ...]
    waiting: tuple[str, ...]
    share: int | None = None


@dataclass(slots=True)
class _Queue:
    limit: int = 0
    share: int | None = None
    others: str = ""
    used: int = 0
    holders: dict[str, None] = field(default_factory=dict[str, None])
    counted: dict[str, None] = field(default_factory=dict[str, None])
    line: Line = field(default_factory=Line)

    @property
    def free(self) -> bool:
        return self.limit == 0 or self.used < self.most

    @property
    def most(self) -> int:
        return self.limit if self.share is None else self.share

    @property
    def idle(self) -> bool:
        return not (self.limit or self.used or self.line)

    def use(self, side: dict[str, None], holder: str) -> None:
        """Put ``holder`` on one side (``holders`` or ``counted``); on both it uses one unit."""
        if holder not in self.holders and holder not in self.counted:
            self.used += 1
        side[holder] = None

    def free_up(self, side: dict[str, None], holder: str) -> None:
        del side[holder]
        if holder not in self.holders and holder not in self.counted:
            self.used -= 1


class Budgets:
    """Units in use and who waits; a holder is any unique text. What is returned as a list are waiters
    that it is worth calling `take` for again."""

    def __init__(self) -> None:
        self._queues: dict[Pool, _Queue] = {}
        self._wants: dict[str, Pools] = {}
        self._holds: dict[str, Pools] = {}
        self._counted: dict[str, Pools] = {}
        self._tickets: dict[str, int] = {}
        self._who: dict[int, str] = {}
        self._last = 0
        self.touched = 0
        """How often anybody took, queued for, gave back or used anything."""

    def limit(
        self, pool: Pool, limit: int, share: int | None = None, others: str = ""
    ) -> list[str]:
        """Set a pool's limit (0: none), and what may be used here of it (None: all)."""
        queue = self._queue(pool)
        queue.limit, queue.share, queue.others = limit, share, others
        return self._heads((pool,))

    # --- taking and giving back ----------------------------------------------------------------

    def take(self, holder: str, pools: Pools) -> bool:
        """Take one unit of each pool, or queue. Call again when told; the place is kept."""
        self.touched += 1
        if holder in self._holds:
            return True
        if holder not in self._wants:
            self._wait(holder, pools)
        assert self._wants[holder] == pools, "withdraw before waiting for other pools"
        ticket = self._tickets[holder]
        queues = [self._queue(pool) for pool in pools]
        for queue in queues:
            if holder not in queue.counted and not (queue.free and queue.line.head == ticket):
                return False
        del self._wants[holder]
        for queue in queues:
            queue.line.leave(ticket)
            queue.use(queue.holders, holder)
        self._holds[holder] = pools
        return True

    def hold(self, holder: str, pools: Pools) -> list[str]:
        """Have ``holder`` hold these pools, whether there is room or not: it does already."""
        if self._holds.get(holder, ()) == pools:
            return []
        self.touched += 1
        freed = self.withdraw(holder)
        before = self._holds.pop(holder, ())
        self._leave(before, holder)
        for pool in pools:
            queue = self._queue(pool)
            queue.use(queue.holders, holder)
        if pools:
            self._holds[holder] = pools
            self._ticket(holder)
        elif before:
            self._forget(holder)
        return [*freed, *self._heads(before)]

    def release(self, holder: str) -> list[str]:
        """Give back what was held."""
        pools = self._holds.pop(holder, None)
        if pools is None:
            return []
        self.touched += 1
        self._leave(pools, holder)
        self._forget(holder)
        return self._heads(pools)

    def step_back(self, holder: str) -> list[str]:
        """Give back what was held and wait for it again, in the place of before."""
        self.touched += 1
        pools = self._holds.pop(holder)
        self._leave(pools, holder)
        self._wait(holder, pools)
        return [other for other in self._heads(pools) if other != holder]

    def withdraw(self, holder: str) -> list[str]:
        """Stop waiting."""
        pools = self._wants.pop(holder, None)
        if pools is None:
            return []
        self.touched += 1
        for pool in pools:
            self._queues[pool].line.leave(self._tickets[holder])
        self._forget(holder)
        return self._heads(pools)

    def count(self, holder: str, pools: Pools) -> list[str]:
        """``holder`` uses exactly these pools by itself (none: it uses nothing by itself)."""
        before = self._counted.get(holder, ())
        if before == pools:
            return []
        self.touched += 1
        for pool in before:
            queue = self._queues[pool]
            queue.free_up(queue.counted, holder)
        for pool in pools:
            queue = self._queue(pool)
            queue.use(queue.counted, holder)
        if pools:
            self._counted[holder] = pools
        else:
            del self._counted[holder]
        return self._heads(before)

    # --- looking -------------------------------------------------------------------------------

    def heads(self, holder: str) -> list[str]:
        """Who stands first, with room, in the pools that ``holder`` has just been given."""
        return self._heads(self._holds.get(holder, ()))

    def holds(self, holder: str) -> bool:
        """Whether it holds anything."""
        return holder in self._holds

    def wanted(self, holder: str) -> Pools:
        """The pools that it waits for."""
        return self._wants.get(holder, ())

    def overdrawn(self, holder: str) -> bool:
        """Whether a pool that it holds is used beyond its limit."""
        queues = [self._queues[pool] for pool in self._holds.get(holder, ())]
        return any(queue.limit and queue.most < queue.used for queue in queues)

    def waits_for(self, holder: str) -> Lack | None:
        """What a waiter lacks (a full pool goes first); None for one that does not wait, or could take it."""
        found: list[Lack] = []
        for pool in self._wants.get(holder, ()):
            queue = self._queues[pool]
            ahead = queue.line.ahead(self._tickets[holder])
            if holder not in queue.counted and (ahead or not queue.free):
                lack = Lack(pool, queue.limit, queue.used, ahead, queue.share, queue.others)
                found.insert(len(found) if queue.free else 0, lack)
        return found[0] if found else None

    def users(self, pool: Pool, most: int = 0) -> list[str]:
        """Who uses a pool, those that hold it first; at most ``most`` of them (0: all)."""
        queue = self._queues.get(pool, _Queue())
        counted = (holder for holder in queue.counted if holder not in queue.holders)
        return list(islice(chain(queue.holders, counted), most or None))

    def usage(self) -> list[Usage]:
        """All pools with a limit, by name."""
        return [
            Usage(
                pool,
                queue.limit,
                queue.used,
                tuple(queue.holders),
                tuple(holder for holder in queue.counted if holder not in queue.holders),
                tuple(self._who[ticket] for ticket in queue.line.tickets()),
                queue.share,
            )
            for pool, queue in sorted(self._queues.items())
            if queue.limit
        ]

    def demand(self, pool: Pool) -> tuple[int, int]:
        """How many use a pool, and how many wait for it."""
        queue = self._queues.get(pool)
        return (queue.used, len(queue.line)) if queue is not None else (0, 0)

    # --- inside --------------------------------------------------------------------------------

    def _queue(self, pool: Pool) -> _Queue:
        queue = self._queues.get(pool)
        if queue is None:
            queue = self._queues[pool] = _Queue()
        return queue

    def _ticket(self, holder: str) -> int:
        ticket = self._tickets.get(holder)
        if ticket is None:
            self._last += 1
            ticket = self._tickets[holder] = self._last
            self._who[ticket] = holder
        return ticket

    def _forget(self, holder: str) -> None:
        del self._who[self._tickets.pop(holder)]

    def _wait(self, holder: str, pools: Pools) -> None:
        ticket = self._ticket(holder)
        self._wants[holder] = pools
        for pool in pools:
            self._queue(pool).line.join(ticket)

    def _leave(self, pools: Pools, holder: str) -> None:
        for pool in pools:
            queue = self._queues[pool]
            queue.free_up(queue.holders, holder)

    def _heads(self, pools: Iterable[Pool]) -> list[str]:
        """Who stands first, with room; pools that nobody needs any more are forgotten."""
        found: dict[str, None] = {}
        for pool in pools:
            queue = self._queues.get(pool)
            if queue is None:
                continue
            if queue.line and queue.free:
                found[self._who[queue.line.head]] = None
            elif queue.idle:
                del self._queues[pool]
        return list(found)
