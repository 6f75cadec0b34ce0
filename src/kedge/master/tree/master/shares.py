"""At the master: what each owner may use of the budgets that several of them draw from.

`kedge.core.allotment` decides; here is what it is told of, and what becomes of it: entries of the owners'
records, the limits of the master's own engine, and a ledger in the store, which is written before anything
is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, cast

from kedge.core.allotment import Allotment, Demand, Facts, gone_s, longest_s
from kedge.core.events import BudgetSet, Pool
from kedge.core.graph import Graph
from kedge.core.lease import MASTER
from kedge.master.engine.budgets import Membership
from kedge.master.engine.head import Head
from kedge.master.process.clock import Clock
from kedge.master.tree.entries import SHARE, pack
from kedge.master.tree.master.ledger import Ledger
from kedge.master.tree.master.ownership import Ownership
from kedge.site.model import Site
from kedge.stores.port import Store

TURN_S = 30.0
"""After so long another owner comes first where a limit is not enough for all."""
STUCK_S = 10.0
"""How often it is looked for nodes that wait for a person, where somebody waits for them."""
SERIALS = 1 << 32
"""How many shares one start of a master may tell."""


class _Pool(NamedTuple):
    """A pool that a sub-master may draw from; ``longest_s``: how long a step that does may last."""

    limit: BudgetSet
    groups: frozenset[str]
    parents: frozenset[str]
    longest_s: float


GONE = _Pool(BudgetSet("", "", 0), frozenset(), frozenset(), 0.0)
"""What is so of a pool that the site does not know any more: nobody may use it."""


class Shares:
    """The shares of all pools. What changed is looked at, and what somebody waits for."""

    stuck: Callable[[str], str]
    """Why a node waits for a person; empty where it does not."""
    hides: Callable[[str], bool]
    """Whether a node may be out of service with nobody to see it, because its parent is silent."""

    def __init__(
        self, head: Head, ownership: Ownership, store: Store, clock: Clock, term: int
    ) -> None:
        self._head, self._ownership, self._clock = head, ownership, clock
        self._began = clock.now()
        self._serial = term * SERIALS
        self._pools: dict[Pool, _Pool] = {}
        self._allotments: dict[Pool, Allotment] = {}
        self._stale: set[Pool] = set()
        self._own_demands: dict[Pool, Demand] = {}
        self._told: dict[str, dict[str, bytes]] = {}
        self._told_of: dict[str, set[str]] = {}  # the owners that have an entry of a pool
        self._again_at: dict[Pool, float] = {}  # for whom time alone may change something
        self._stuck_nodes: dict[Pool, dict[str, str]] = {}
        self._stuck_at: dict[Pool, float] = {}
        self._for: tuple[Site, Graph] | None = None
        self._owners: set[str] = set()
        self._were_silent: set[str] = set()
        self.ledger = Ledger(store, head.journal)
        for key, record in self.ledger.written.items():
            budget, _, pool = key.partition(" ")
            allotment = self._allotments.setdefault((budget, pool), Allotment())
            for owner, (most, alone) in record.items():
                allotment.restore(owner, int(most), int(alone))
                self._owners.add(owner)
        head.shared = self._own

    def _own(self, limit: BudgetSet) -> BudgetSet:
        """What the master's own engine may use of a limit."""
        pool = limit.budget, limit.pool
        allotment = self._allotments.get(pool)
        share = allotment.own if allotment is not None else None
        others = self._in_the_way(pool, MASTER)
        return BudgetSet(limit.budget, limit.pool, limit.limit, limit.span, share, others)

    def _in_the_way(self, pool: Pool, owner: str) -> str:
        """Which node of another owner waits for a person, and uses the pool until then; empty: none."""
        known = self._stuck_nodes.get(pool, {})
        return next((words for other, words in sorted(known.items()) if other != owner), "")

    def told(self, owner: str) -> Mapping[str, bytes]:
        """The entries for a sub-master."""
        return self._told.get(owner, {})

    def heard(self, owner: str, subject: str, told: Any) -> None:
        """A sub-master says what it uses of a pool."""
        budget, _, name = subject.partition(" ")
        allotment = self._allotments.get((budget, name))
        if allotment is not None and isinstance(told, list):
            serial, used, waiting = cast("list[int]", told)
            allotment.confirm(owner, serial, Demand(used, waiting))
            self._stale.add((budget, name))

    def forget(self, owner: str) -> None:
        """A person has removed a sub-master: it draws from nothing any more."""
        self._owners.discard(owner)
        self._told.pop(owner, None)
        for owners in self._told_of.values():
            owners.discard(owner)
        for allotment in self._allotments.values():
            allotment.forget(owner)
        self._stale.update(self._allotments)

    def given(self, group: str, owner: str) -> None:
        """A group has another owner; some of its nodes may be out of service."""
        for pool, known in self._pools.items():
            if group in known.groups:
                self._stale.add(pool)
                if known.limit.span and owner != MASTER:
                    self._allotments[pool].takes_over(owner, known.limit.limit, self._next())

    # ---- deciding

    def look(self, site: Site) -> set[str]:
        """Decide anew where something changed; returns the sub-masters that are to be told."""
        if self._for is None or self._for[0] is not site or self._for[1] is not self._head.graph:
            self._for = site, self._head.graph
            self._take(site)
        if not self._allotments:
            return set()
        now, between = self._clock.now(), self._between(site)
        silent = self._silent(now)
        if silent.keys() != self._were_silent:
            self._were_silent = set(silent)
            self._stale.update(self._allotments)
        engine, owns_changed, decided = self._head.engine, False, list[Pool]()
        for pool, allotment in self._allotments.items():
            known = self._pools.get(pool, GONE)
            own = Demand(*engine.demand(pool, span=known.limit.span))
            if own == self._own_demands.get(pool) and not self._moves(pool, now, silent, between):
                continue
            self._own_demands[pool] = own
            before = allotment.own, allotment.told(), allotment.ledger()
            facts = self._facts(known, silent, between)
            allotment.decide(facts, own, int(now / TURN_S), self._next())
            others = self._in_the_way(pool, MASTER)
            self._look_for_stuck(pool, known, now, waited=not allotment.settled or own.waiting > 0)
            others_changed = others != self._in_the_way(pool, MASTER)
            owns_changed = owns_changed or allotment.own != before[0] or others_changed
            decided.append(pool)
            self._stale.discard(pool)
            self._again_at.pop(pool, None)
            if before != (allotment.own, allotment.told(), allotment.ledger()):
                self._stale.add(pool)  # the next look may go on from there
            elif own.waiting or not allotment.settled:
                stuck_at = self._stuck_at.get(pool, math.inf)
                self._again_at[pool] = min(stuck_at + STUCK_S, (now // TURN_S + 1) * TURN_S)
        changed = self._tell(decided)
        if owns_changed:
            self._head.limit()
        return changed

    def _moves(
        self, pool: Pool, now: float, silent: Mapping[str, float], between: Collection[str]
    ) -> bool:
        """Whether something of a pool may be otherwise than at the last look."""
        if pool in self._stale or now >= self._again_at.get(pool, math.inf):
            return True
        if silent and self._allotments[pool].concerns(silent):
            return True
        known = self._pools.get(pool, GONE)
        return bool(between) and not known.groups.isdisjoint(between)

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _between(self, site: Site) -> set[str]:
        """Groups that were withdrawn from one owner, and are not another's yet."""
        arbiter = self._ownership.arbiter
        return {g for g in site.groups if arbiter.owner(g) is not None and not arbiter.acts(g)}

    def _silent(self, now: float) -> dict[str, float]:
        """For how long owners were not heard that do not renew."""
        arbiter = self._ownership.arbiter
        return {
            owner: now - max(arbiter.seen_at(owner), self._began)
            for owner in self._owners
            if not arbiter.there(owner, now)
        }

    def _take(self, site: Site) -> None:
        """Find the pools from which nodes draw that somebody else than the master may act on."""
        membership, groups = Membership(site), dict[Pool, set[str]]()
        for node in site.nodes.values():
            for pool in (*membership.limits(node), *membership.spans(node)):
                groups.setdefault(pool, set()).add(node.group)
        self._pools = {}
        for pool, limit in self._head.limits.items():
            found = groups.get(pool, set())
            parents = {p for group in found for p in self._ownership.parents(group)}
            if limit.limit and parents - {MASTER}:
                lasts_s = self._longest_s(limit)
                self._pools[pool] = _Pool(limit, frozenset(found), frozenset(parents), lasts_s)
                self._allotments.setdefault(pool, Allotment())
        self._stale.update(self._allotments)

    def _longest_s(self, limit: BudgetSet) -> float:
        if limit.span:
            return 0.0
        mutations = self._head.graph.mutations.values()
        return longest_s(
            [
                mutation.timeout_s
                for mutation in mutations
                if limit.budget in mutation.budgets or fnmatchcase(mutation.name, limit.budget)
            ]
        )

    def _facts(self, known: _Pool, silent: Mapping[str, float], between: Collection[str]) -> Facts:
        owners = {self._ownership.owner(group) for group in known.groups} - {""}
        after_s = gone_s(self._ownership.arbiter.terms, known.longest_s)
        limit = known.limit
        growing = not limit.span or known.groups.isdisjoint(between)
        gone: dict[str, int] = {}
        for owner in (owner for owner, for_s in silent.items() if for_s > after_s):
            kept = limit.limit if owner in owners else self._hidden(owner, known.groups)
            gone[owner] = kept if limit.span else 0
        return Facts(limit.limit, owners, known.parents, gone, limit.span, growing=growing)

    def _look_for_stuck(self, pool: Pool, known: _Pool, now: float, *, waited: bool) -> None:
        """Note one node of each owner that waits for a person, where others wait for it."""
        site = self._ownership.site
        if not waited or not known.limit.span or site is None:
            self._stuck_nodes.pop(pool, None)
        elif now - self._stuck_at.get(pool, -math.inf) >= STUCK_S:
            self._stuck_at[pool] = now
            found: dict[str, str] = {}
            for group in known.groups:
                owner = self._ownership.owner(group)
                words = (w for name in site.groups[group].nodes if (w := self.stuck(name)))
                if owner not in found and (first := next(words, "")):
                    found[owner] = first
            self._stuck_nodes[pool] = found

    def _hidden(self, owner: str, groups: Collection[str]) -> int:
        """How many nodes of these groups a silent owner may still have out of service."""
        site = self._ownership.site
        if site is None:
            return 0
        names = (
            n for g in groups if owner in self._ownership.parents(g) for n in site.groups[g].nodes
        )
        return sum(map(self.hides, names))

    # ---- telling

    def _tell(self, pools: list[Pool]) -> set[str]:
        """Write the ledger, then have what is new told. What cannot be written is not told."""
        changed: set[str] = set()
        for pool in pools:
            allotment, key = self._allotments[pool], " ".join(pool)
            if not self.ledger.write(key, allotment.ledger()):
                self._stale.add(pool)
                continue
            limit = self._pools.get(pool, GONE).limit.limit
            shares = allotment.told()
            self._owners |= shares.keys()
            told_of = self._told_of.setdefault(key, set())
            for owner in shares.keys() | told_of:
                entries = self._told.setdefault(owner, {})
                told = [*shares.get(owner, ()), limit, self._in_the_way(pool, owner)]
                entry = pack(told) if owner in shares else None
                if entries.get(SHARE + key) != entry:
                    changed.add(owner)
                    if entry is None:
                        del entries[SHARE + key]
                        told_of.discard(owner)
                    else:
                        entries[SHARE + key] = entry
                        told_of.add(owner)
            if pool not in self._pools and not shares:
                del self._allotments[pool], self._told_of[key]
                self._stale.discard(pool)
                self._again_at.pop(pool, None)
        return changed
