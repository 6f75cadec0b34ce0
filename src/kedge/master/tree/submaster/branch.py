"""A sub-master's place in the tree: what comes down to it, and which groups it may act on.

It renews its lease by counting, takes the answers, and lets the engine act on the nodes of the groups that
are its own. While no master answers it goes on with what it has; when the lease runs out, destructive
steps are held.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kedge.core.events import Event, GroupLeased, Requested, Retried
from kedge.core.lease import LeaseTerms, Tenure
from kedge.core.node import Configuration
from kedge.master.agents.encoding import encode
from kedge.master.agents.link import ADOPTED_S, Link, is_peer
from kedge.master.agents.permits import Permits
from kedge.master.engine.head import Head
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process.clock import Clock
from kedge.master.tree.entries import (
    ASK,
    ASKED,
    COMMON,
    FILE,
    KEY,
    LEASE,
    LEAVING,
    NODE,
    ORDERS,
    RELAY,
    SEEN,
    SHARE,
    of_kind,
    pack,
    unpack,
)
from kedge.master.tree.heard import Heard
from kedge.master.tree.parts import SiteOfParts
from kedge.master.tree.relays import written_of
from kedge.master.tree.submaster.below import Below
from kedge.master.tree.submaster.sharing import Sharing
from kedge.master.tree.submaster.uplink import Uplink
from kedge.sync.wire import Epoch

LOOK_S = 1.0
COUNTERS = 1_000_000
"""How many boots one start of a sub-master has room for, within a term."""


class Branch:
    """Hears the uplink, and tells the head."""

    reload: Callable[[Collection[str], str], None]
    """Goes over to the modules that are installed here now."""

    def __init__(
        self,
        name: str,
        head: Head,
        link: Link,
        permits: Permits,
        uplink: Uplink,
        writes: LateWrites,
        clock: Clock,
        start: int,
    ) -> None:
        self.name = name
        self._head, self._link, self._uplink = head, link, uplink
        self._writes, self._clock, self._start = writes, clock, start
        self._parts = SiteOfParts()
        self._held: dict[str, bytes] = {}
        self.heard = Heard(head, link)
        self.tenure = Tenure(LeaseTerms(), start)
        self.sharing = Sharing(head, self.tenure)
        self.below = Below(link, uplink, clock, start)
        self._answered = -1
        self._leased: dict[str, str] = {}
        self._leaving: dict[str, list[str]] = {}
        head.elsewhere = self.elsewhere
        head.forbids = self.forbids
        link.tenure = self._tenure
        permits.tenure = self._boot_term
        uplink.changed = self.take
        head.tell_first(self._overdue)
        self._look_at = -math.inf

    # ---- who acts

    def elsewhere(self, node: Configuration) -> str:
        """Who else acts on a node."""
        owned = node.group in self.tenure.owned and node.name not in self._leaving
        return "" if owned else "another parent"

    def foreign(self, node: str) -> bool:
        """Whether somebody else acts on a node."""
        known = self._head.nodes.get(node)
        return known is None or bool(self.elsewhere(known.configuration))

    def forbids(self, node: str) -> str:
        """Why no destructive step may begin on a node now. Safe in any thread."""
        known = self._head.nodes.get(node)
        group = known.configuration.group if known is not None else ""
        if node in self._leaving:
            return f"{node} goes to another parent"
        if self.tenure.may_destroy(group, self._clock.now()):
            return ""
        return f"{self.name} could not renew its lease of group {group}"

    def _tenure(self, node: str) -> Epoch | None:
        if is_peer(node):
            return self.below.tenure()
        term = self._term(node)
        return Epoch(term, self._start) if term else None

    def _boot_term(self, node: str) -> tuple[int, int]:
        return self._term(node), self._start * COUNTERS

    def _term(self, node: str) -> int:
        known = self._head.nodes.get(node)
        return self.tenure.owned.get(known.configuration.group, 0) if known is not None else 0

    # ---- what comes down

    def begin(self) -> None:
        """Go on with what was kept on disk: groups that were ours are, but for destructive steps."""
        kept = self._writes.records("tenure")
        owned = {group: int(record["term"]) for group, record in kept.items()}
        self.tenure.answered(-1, owned)
        self.take()

    def take(self) -> None:
        """Take the record as it is now: apply what changed."""
        before, entries = self._held, self._uplink.entries
        self._held = dict(entries)
        changed = {
            name for name in before.keys() | entries.keys() if before.get(name) != entries.get(name)
        }
        left = [name.removeprefix(LEAVING) for name in changed if name.startswith(LEAVING)]
        if left:
            self._leaving = {n: unpack(raw) for n, raw in of_kind(entries, LEAVING).items()}
            self._head.owner_changed(left)
        if any(name == COMMON or name.startswith((NODE, FILE, LEAVING)) for name in changed):
            self._configure(entries)
        for name, raw in of_kind(entries, KEY).items():
            if KEY + name in changed:
                told = unpack(raw)
                self._link.know(name, Epoch(told["term"], told["counter"]), told["key"])
        if LEASE in changed:
            self._take_lease(unpack(entries.get(LEASE)))
        if any(name in (COMMON, LEASE) or name.startswith(SHARE) for name in changed):
            self.sharing.take(entries, self._clock.now())
        for name in (n for n in changed if n.startswith(RELAY)):
            if name.removeprefix(RELAY) in self._head.nodes:
                self._link.relay(name.removeprefix(RELAY), written_of(entries.get(name)))
        for name in sorted(n for n in changed if n.startswith(SEEN)):
            self.heard.take(name.removeprefix(SEEN), unpack(entries.get(name)))
        if any(name.startswith(ASK) for name in changed):
            self._do_asked(of_kind(entries, ASK))
        self.below.take(entries, changed)
        self.look()

    def _configure(self, entries: Mapping[str, bytes]) -> None:
        common = unpack(entries.get(COMMON))
        site = self._parts.site(entries)
        if site is None:
            return
        duration_s, operation_s, drift = common.get("lease", [60.0, 20.0, 0.001])
        self.tenure.terms = LeaseTerms(duration_s, operation_s, drift, duration_s)
        self._head.configure(site)
        self.tell_parents()

    def tell_parents(self) -> None:
        """Tell the agents of our nodes where else they may report."""
        for name in self._head.nodes:
            if not self.foreign(name) or name in self._leaving:
                self._link.put(name, "parents", encode(list(self.addresses(name))))

    def _take_lease(self, told: Any) -> None:
        before = dict(self.tenure.owned)
        seen: int
        owned: dict[str, int]
        seen, owned = told if told is not None else (-1, {})
        if 0 <= seen < self._answered:
            return  # an earlier answer, which was kept by the one above that has begun anew
        self._answered = max(seen, self._answered)
        self.tenure.answered(seen, owned)
        changed = {g for g in before.keys() | owned.keys() if before.get(g) != owned.get(g)}
        for group in changed:
            term = owned.get(group)
            self._writes.put("tenure", group, None if term is None else {"term": term})
            what = f"owned in term {term}" if term else "owned by another parent"
            self._head.journal.write("", "owner", group, after=what, cause="the master says so")
        if changed:
            nodes = [n for n, s in self._head.nodes.items() if s.configuration.group in changed]
            for name in nodes:
                if not self.foreign(name):
                    self._link.adopt(name, unpack(self._uplink.entries.get(ORDERS + name)) or {})
            self._head.owner_changed(nodes)
            self.tell_parents()
            loop = asyncio.get_running_loop()
            loop.call_later(ADOPTED_S, self._link.drop_adopted, nodes)

    def look(self) -> None:
        """Let destructive steps begin, or not any more, as the leases are now."""
        for event in self._looked(self._clock.now()):
            self._head.feed(event)

    def _overdue(self) -> Iterable[Event]:
        """What the engine must know before all else: this process may have stood still past its lease."""
        now = self._clock.now()
        return self._looked(now) if now > self._look_at else ()

    def _looked(self, now: float) -> list[Event]:
        """What the engine must be told, as the leases are now."""
        found = self.sharing.look(now)
        for group in self.tenure.owned.keys() | self._leased.keys():
            may = self.tenure.may_destroy(group, now)
            why = "" if may or group not in self.tenure.owned else self._why_not(group)
            if self._leased.get(group, "") != why:
                self._leased[group] = why
                found.append(GroupLeased(group, why))
                after = "held" if why else "allowed"
                self._head.journal.write("", "lease", group, after=after, cause=why)
        held = [g for g in self.tenure.owned if not self._leased.get(g)]
        ends = [self.sharing.leased_until, *(self.tenure.until(group) for group in held)]
        self._look_at = min(ends)
        return found

    def _why_not(self, group: str) -> str:
        lost_at = self._uplink.lost_at
        if lost_at is None:
            return f"held: the master has not renewed the lease of group {group} yet"
        since = datetime.fromtimestamp(lost_at, UTC)
        return (
            f"held: no master since {since:%Y-%m-%d %H:%M:%S} UTC (it renews the lease of {group})"
        )

    def addresses(self, node: str) -> tuple[str, ...]:
        """Where a node's agent may report."""
        if node in self._leaving:
            return tuple(self._leaving[node])
        site, known = self._head.site, self._head.nodes.get(node)
        group = site.groups.get(known.configuration.group) if site is not None and known else None
        common = unpack(self._uplink.entries.get(COMMON))
        if group is None or common is None:
            return ()
        told: dict[str, str] = common["addresses"]
        return tuple(told[parent] for parent in group.parents if told.get(parent))

    @property
    def unleased(self) -> list[str]:
        """Groups that are ours, and on whose nodes nothing destructive may begin."""
        return sorted(group for group in self.tenure.owned if self._leased.get(group))

    # ---- what people asked for

    def _do_asked(self, asks: Mapping[str, bytes]) -> None:
        done = self._writes.records("asked")
        changes: dict[str, bytes | None] = {}
        for name, raw in sorted(asks.items()):
            if name not in done:
                self._writes.put("asked", name, {})
                self._do(name, unpack(raw))
            changes[ASKED + name] = pack(True)
        for name in done.keys() - asks.keys():
            self._writes.put("asked", name, None)
            changes[ASKED + name] = None
        self._uplink.report(changes)

    def _do(self, name: str, asked: Any) -> None:
        if asked["what"] == "reload":
            self.reload(asked["names"], asked["by"])
            return
        for node in asked["nodes"]:
            if asked["what"] == "retry":
                self._head.feed(Retried(node, asked["by"]))
            else:
                self._head.feed(Requested(node, asked["goals"], name, asked["by"]))

    # ---- going on

    async def renew(self) -> None:
        """Renew the lease, and look whether it still holds, for as long as it is not cancelled."""
        loop = asyncio.get_running_loop()
        renewed = -self.tenure.terms.renew_s
        while True:
            if loop.time() - renewed >= self.tenure.terms.renew_s:
                renewed = loop.time()
                counter = self.tenure.renew(self._clock.now())
                self._uplink.report({LEASE: pack(counter)})
            self.look()
            await asyncio.sleep(LOOK_S)
