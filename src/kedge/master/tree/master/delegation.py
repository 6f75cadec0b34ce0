"""The master's side of the tree: what comes up from sub-masters, and what each of them is told.

The master plans nothing for the nodes of their groups and begins nothing on them; it shows what their owners
report, passes on what people ask for, and what agents report to parents that are not their owners.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kedge.core.lease import MASTER, LeaseTerms
from kedge.master.agents.encoding import encode
from kedge.master.agents.link import ADOPTED_S, Link, is_peer
from kedge.master.agents.permits import Permits
from kedge.master.engine.head import Head
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process.clock import Clock
from kedge.master.process.secrets import Secrets
from kedge.master.tree.entries import (
    AGENT,
    ASKED,
    CONFIGURED,
    HEALTH,
    HELD,
    KEY,
    LEASE,
    LOG,
    ORDERS,
    VIEW,
    WISH,
    unpack,
)
from kedge.master.tree.heard import Heard, Report
from kedge.master.tree.logs import LogDown
from kedge.master.tree.master.asks import Asks
from kedge.master.tree.master.below import FromBelow
from kedge.master.tree.master.down import Down
from kedge.master.tree.master.hosts import hosts_of
from kedge.master.tree.master.known import SubMaster
from kedge.master.tree.master.ownership import Ownership
from kedge.master.tree.master.relayed import Relayed
from kedge.master.tree.master.relaying import Relaying
from kedge.master.tree.master.shares import Shares
from kedge.master.tree.master.shown import Shown
from kedge.master.tree.master.submasters import SubMasters
from kedge.master.tree.master.succeeding import Succeeding
from kedge.master.tree.passing import Changes
from kedge.site.model import Site
from kedge.stores.port import Store
from kedge.sync.events import ConfiguredAcked, Discovered, Joined, Left, Lost, ParentEvent, Resumed
from kedge.sync.wire import Epoch

LOOK_S = 1.0
ARRIVED_S = 300.0
"""So long the agent of a node that moved to another owner may take to come to a new parent."""


class Delegation:
    """Speaks with sub-masters."""

    def __init__(
        self,
        head: Head,
        link: Link,
        permits: Permits,
        secrets: Secrets,
        store: Store,
        writes: LateWrites,
        clock: Clock,
        terms: LeaseTerms,
        term: int,
    ) -> None:
        self._head, self._link, self._permits = head, link, permits
        self._clock, self._term = clock, term
        self.ownership = Ownership(head, store, clock, terms, term, self._given)
        self.submasters = SubMasters(head, link, permits, self.ownership, store, writes, clock)
        self.relayed = Relayed(head, link)
        self.shares = Shares(head, self.ownership, store, clock, term)
        self.shown = Shown(head, self.ownership, self.submasters, self.relayed)
        self.shares.hides, self.shares.stuck = self.shown.hides, self.shown.stuck
        self.logs = LogDown(head.journal, writes)
        self.heard = Heard(head, link)
        self._acted: dict[str, str] = {}
        self.asks = Asks(head, self.ownership, self.submasters, term)
        self.relaying = Relaying(link, self.ownership, self.submasters, self.relayed)
        self.down = Down(
            link, secrets, self.ownership, self.submasters, self.relayed, self.shares, self.relaying
        )
        self._succeeding = Succeeding(
            self.ownership, self.relayed, self.logs, self.down, self._owner_stale
        )
        self._below = FromBelow(self.submasters, permits, self._succeeding.joined, self._told)
        head.elsewhere = self.ownership.elsewhere
        link.tenure = self.ownership.tenure
        permits.tenure = lambda node: (self.ownership.term(node), 0)

    def addresses(self, node: str) -> tuple[str, ...]:
        """Where a node's agent may report; nothing where only the master is."""
        return self.down.addresses(node)

    # ---- what comes up

    def told(self, event: ParentEvent) -> bool:
        """Apply an event of the link that is about a sub-master; False for any other."""
        if not is_peer(event.node):
            if isinstance(event, Joined | Resumed | Discovered | Lost | Left | ConfiguredAcked):
                self._owner_stale(event.node)
            if isinstance(event, Joined):
                self._parents_stale(event.node)
            return False
        known = self.submasters.known.get(event.node[1:])
        if known is None or known.name in self.submasters.ways.above:
            return True
        if isinstance(event, Joined | Resumed):
            self._permits.end(event.node)
            if isinstance(event, Joined):
                self._succeeding.joined(known)
            self.submasters.attach(known, True, f"at {event.address[0]}")
            known.address = event.address[0]
        elif isinstance(event, Lost):
            self.submasters.attach(known, False, f"nothing heard for {event.silent_s:.0f} s")
        elif isinstance(event, Left):
            self.submasters.attach(known, False, "it was stopped")
        elif isinstance(event, Discovered):
            self._below.take(known, event.changes)
        return True

    def _told(self, known: SubMaster, changes: Changes) -> None:
        """A sub-master reports, itself or through the one that it is below."""
        for name, raw in changes.items():
            self._discovered(known, name, raw)
        slots = [unpack(raw) for name, raw in changes.items() if name.startswith(LOG)]
        self.logs.take(known.name, slots, lambda node: self._may(known, node))

    def _discovered(self, known: SubMaster, name: str, raw: bytes | None) -> None:
        told = unpack(raw)
        kind, slash, subject = name.partition("/")
        kind += slash
        if name == LEASE and told is not None:
            if known.name in self.submasters.ways.above and not known.attached:
                return  # it is no more; the renewal waited with the one that it is below
            if self.ownership.arbiter.saw(known.name, int(told), self._clock.now()):
                self.down.answer(known)
        elif name == HEALTH and told is not None:
            former = known.health.get("address", "")
            # (one that has no site yet does not know its address; agents must not lose it for that)
            known.health = {**told, "address": told["address"] or former}
            if known.health["address"] != former:
                self._parts_stale()
        elif kind == KEY and told is not None and self._may(known, subject):
            if self._link.know(subject, Epoch(told["term"], told["counter"]), told["key"]):
                self._parents_stale(subject)
        elif kind == AGENT and self._may(known, subject):
            self.relayed.report(subject, known.name, told)
            self._owner_stale(subject)
        elif kind == VIEW and self.ownership.owner(self.ownership.group_of(subject)) == known.name:
            self.relayed.view(subject, known.name, told)
            known.stale = known.stale or ORDERS + subject in known.down
        elif kind == CONFIGURED and (told is None or self._may(known, subject)):
            self.relaying.told(subject, known.name, raw)
        elif kind == HELD:
            self.shares.heard(known.name, subject, told)
        elif kind == WISH:
            known.wishes.pop(subject, None)
            if told is not None:
                known.wishes[subject] = int(told)
        elif kind == ASKED and told and known.asks.pop(subject, None) is not None:
            known.stale = True

    def _may(self, known: SubMaster, node: str) -> bool:
        """Whether a sub-master may speak of a node at all."""
        group = self.ownership.group_of(node)
        return node in self._head.nodes and known.name in self.ownership.parents(group)

    def _owner_stale(self, node: str) -> None:
        known = self.submasters.known.get(self.ownership.owner(self.ownership.group_of(node)))
        if known is not None:
            known.stale = True

    def _parents_stale(self, node: str) -> None:
        for parent in self.ownership.parents(self.ownership.group_of(node)):
            if parent in self.submasters.known:
                self.submasters.known[parent].stale = True

    def _parts_stale(self) -> None:
        for known in self.submasters.known.values():
            known.parts.clear()
            known.stale = True

    # ---- going on

    def begin(self) -> None:
        """Look once, at the start."""
        self.ownership.begin()
        self.look()

    async def keep(self) -> None:
        """Look again and again, for as long as it is not cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Pass on what is to be passed on, and tell everybody what is new."""
        site = self._head.site
        if site is None:
            return
        if site is not self.ownership.site:
            self.submasters.expect(hosts_of(site))
            self.ownership.take_site(site)
            self._leave(site)
            self.relayed.forget(site.nodes)
            self._parts_stale()
        self.ownership.decide(self._moving)
        come = self.ownership.moving.over(self._clock.now())
        if come:
            self._parts_stale()
            self._head.owner_changed(come)
            loop = asyncio.get_running_loop()
            loop.call_later(ARRIVED_S, self._arrived, come)
        acted = {group: self.ownership.elsewhere_of(group) for group in site.groups}
        # (a group that names parents was taken to be the first one's until it was given to somebody)
        before = {g.name: None if g.parents else "" for g in site.groups.values()} | self._acted
        changed = {group for group in acted if before[group] != acted[group]}
        self._acted = acted
        if changed:
            nodes = [n for n, s in self._head.nodes.items() if s.configuration.group in changed]
            self._adopt(nodes)
            self._head.owner_changed(nodes)
        # (only now: the first that is written in a new tenure is the whole record, adopted orders and all)
        self._tell_parents(site)
        own: dict[str, tuple[str, Report]] = {}
        for group in acted:
            if not acted[group] and site.groups[group].parents:
                own.update(self._seen(group, site))
        told = self.shares.look(site) | self.relaying.look(own)
        for name, known in self.submasters.known.items():
            if known.stale or name in told:
                self.down.say(known, site)
        for name, (_, report) in own.items():
            self.heard.take(name, report.as_entry())

    def _adopt(self, nodes: Iterable[str]) -> None:
        """Of nodes that are the master's own from now on: what their agents do for the former owner goes
        on, and is not told anew."""
        own = [n for n in nodes if not self.ownership.elsewhere_of(self.ownership.group_of(n))]
        for name in own:
            self._link.adopt(name, self.relayed.take_orders(name))
        if own:
            asyncio.get_running_loop().call_later(ADOPTED_S, self._link.drop_adopted, own)

    def _moving(self, group: str) -> bool:
        site = self.ownership.site
        return site is not None and self.relayed.moving(site.groups[group].nodes)

    def _given(self, group: str, former: str, owner: str) -> None:
        """A group has another owner."""
        self.submasters.all_stale()
        self.shares.given(group, owner)
        known = self.submasters.known.get(former)
        if known is not None and known.asks:
            self.asks.drop(known, group)

    def _tell_parents(self, site: Site) -> None:
        """Tell the agents of the master's own nodes where else they may report."""
        for group in site.groups.values():
            if group.parents and not self.ownership.elsewhere_of(group.name):
                for name in group.nodes:
                    raw = encode(list(self.addresses(name)))
                    if self._link.entry(name, "parents") != raw:
                        self._link.put(name, "parents", raw)

    def _arrived(self, names: list[str]) -> None:
        for name in names:
            self.relayed.only(name, self.ownership.parents(self.ownership.group_of(name)))
            self._owner_stale(name)

    def _leave(self, site: Site) -> None:
        """Tell the agents of nodes that leave the master where to report from now on."""
        moving = self.ownership.moving.nodes
        self._head.owner_changed(moving)
        for name in (name for name, move in moving.items() if move.owner == MASTER):
            self._link.put(name, "parents", encode(list(self.addresses(name))))

    def _seen(self, group: str, site: Site) -> dict[str, tuple[str, Report]]:
        """Of a group that is the master's own: what agents report to others, and to whom."""
        found: dict[str, tuple[str, Report]] = {}
        for name in site.groups[group].nodes:
            best = self.relayed.best(name, self.submasters.there)
            if best is not None and best[0] != MASTER:
                found[name] = best
        return found
