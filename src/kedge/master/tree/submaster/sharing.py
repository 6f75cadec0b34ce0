"""At a sub-master: the budgets that it shares with other owners, as far as its lease reaches.

The master tells for each pool what may be used here: so much while the lease holds, so much without. What
was never told is nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from kedge.core.events import BudgetSet, Event
from kedge.core.lease import Tenure
from kedge.master.engine.head import Head
from kedge.master.tree.entries import COMMON, HELD, SHARE, of_kind, pack, unpack
from kedge.site.words import OUT_OF_SERVICE


class Sharing:
    """What this engine may use of each pool, and what it uses."""

    def __init__(self, head: Head, tenure: Tenure) -> None:
        self._head, self._tenure = head, tenure
        self._shares: dict[str, tuple[int, int, int, int, str]] = {}
        self._shares_at_all = False
        self._leased = False
        head.shared = self._mine

    @property
    def leased_until(self) -> float:
        """When less may be used than now; never, where that is so already."""
        return self._tenure.counted_on_until() if self._leased else math.inf

    def take(self, entries: Mapping[str, bytes], now: float) -> None:
        """What the master says now."""
        common = unpack(entries.get(COMMON))
        self._shares_at_all = common is not None and bool(common.get("shares"))
        shares = {name: unpack(raw) for name, raw in of_kind(entries, SHARE).items()}
        self._shares = {name: tuple(told) for name, told in shares.items() if told is not None}
        self._leased = now <= self._tenure.counted_on_until()
        self._head.limit()

    def look(self, now: float) -> list[Event]:
        """What the engine must be told, as the lease is now."""
        leased = now <= self._tenure.counted_on_until()
        if leased == self._leased:
            return []
        self._leased = leased
        return self._head.limits_now()

    def _mine(self, limit: BudgetSet) -> BudgetSet:
        """What may be used here of a limit. A master of before there were shares leaves it whole."""
        if not self._shares_at_all:
            return limit
        told = self._shares.get(f"{limit.budget} {limit.pool}")
        if told is None:
            return BudgetSet(limit.budget, limit.pool, limit.limit, limit.span, 0)
        _, most, alone, whole, others = told
        share = most if self._leased else alone
        whole = whole or limit.limit
        return BudgetSet(limit.budget, limit.pool, whole, limit.span, share, others)

    def held(self) -> dict[str, bytes]:
        """What the master is told: which share is kept to, what is used of it, and waited for."""
        engine, found = self._head.engine, dict[str, bytes]()
        for name, (serial, _, _, whole, _) in self._shares.items():
            budget, _, pool = name.partition(" ")
            used, waiting = engine.demand((budget, pool), span=budget == OUT_OF_SERVICE)
            found[HELD + name] = pack([serial, used, min(waiting, whole)])
        return found
