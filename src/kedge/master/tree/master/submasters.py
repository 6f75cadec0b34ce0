"""The sub-masters that a master knows: who may join, who is there, where they are, how they stand."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kedge.core.lease import MASTER
from kedge.lib.errors import KedgeError
from kedge.lib.nearest import nearest
from kedge.master.agents.link import Link, peer_of
from kedge.master.agents.permits import Permits
from kedge.master.engine.head import Head
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process.clock import Clock
from kedge.master.tree.master.hosts import hosts_of
from kedge.master.tree.master.known import SubMaster
from kedge.master.tree.master.ownership import Ownership
from kedge.master.tree.master.passages import Passages
from kedge.master.tree.master.ways import Ways
from kedge.site.model import Site
from kedge.stores.port import Store

KIND = "submaster"
JOIN_LASTS_S = 7 * 86400.0


class SubMasters:
    """All of them, by name."""

    def __init__(
        self,
        head: Head,
        link: Link,
        permits: Permits,
        ownership: Ownership,
        store: Store,
        writes: LateWrites,
        clock: Clock,
    ) -> None:
        self._head, self._link, self._permits = head, link, permits
        self._ownership, self._store, self._clock = ownership, store, clock
        kept = store.records(KIND)
        self.known = {name: SubMaster(name, since=clock.wall()) for name in kept}
        self.ways = Ways((n, r["below"]) for n, r in kept.items() if r.get("below"))
        self.passages = Passages(link, permits, writes, self.known, self.ways)
        for name in self.ways.above:
            self.known[name].until = float(kept[name].get("until", 0.0))
            link.revoke(peer_of(name))  # its token is good below that one

    def add(
        self, name: str, lasts_s: float = JOIN_LASTS_S, below: str | None = None
    ) -> dict[str, Any]:
        """A new sub-master (or a known one that remembers nothing); what its join file must say. ``below``
        is the sub-master that it is to be below, or the master; None: where it is already."""
        if name == MASTER or name in self._head.nodes:
            raise KedgeError(
                "submaster.name", f"{name!r} cannot name a sub-master",
                why="it is the master's or a node's name", next_step="Take another, like sm1",
            )  # fmt: skip
        above = self.ways.above.get(name, MASTER) if below is None else below or MASTER
        if above != MASTER:
            self.named(above)
            self.ways.check(name, above)
        permit = self._permits.grant(peer_of(name))
        if above == MASTER:
            self._link.admit(permit, lasts_s)
        self._know(name, above, self._clock.wall() + lasts_s)
        cause = "" if above == MASTER else f"below {above}"
        self._head.journal.write("", "submaster", name, after="added", cause=cause)
        return {"name": name, "term": permit.term, "counter": permit.counter, "token": permit.token}

    def expect(self, names: Collection[str]) -> None:
        """The site names them as running on nodes: they are known, and their nodes let them join."""
        for name in names:
            if name not in self.known:
                self._know(name)

    def _know(self, name: str, above: str = MASTER, until: float = 0.0) -> None:
        record: dict[str, Any] = {"added": self._clock.wall()}
        if above != MASTER:
            record |= {"below": above, "until": until}
        self._store.put(KIND, name, record)
        known = self.known.setdefault(name, SubMaster(name, since=self._clock.wall()))
        known.until = until
        if self.ways.above.get(name, MASTER) != above:
            self._move(known, above)
        if above != MASTER:
            self.known[above].stale = True

    def _move(self, known: SubMaster, above: str) -> None:
        """It is told what it is told by another way from now on; so are those below it."""
        for each in (known.name, *self.ways.all_below(known.name)):
            self.passages.withdraw(self.known[each])
        self.passages.end(known)
        if above != MASTER:
            self.ways.above[known.name] = above
        words = "the master's own" if above == MASTER else f"below {above}"
        self.attach(known, False, f"it is to be {words}")

    def remove(self, name: str) -> None:
        """Forget a sub-master that no group names any more."""
        self.named(name)
        site, owner = self._head.site, self._ownership.owner
        host = hosts_of(site).get(name) if site is not None else None
        if host is not None:
            raise KedgeError(
                "submaster.used", f"{name} runs on node {host}",
                next_step=f"kedge node show {host} --origin says where that is written; take it away there",
            )  # fmt: skip
        below = self.ways.directly_below(name)
        if below:
            raise KedgeError(
                "submaster.used", f"{', '.join(below)} {'is' if len(below) == 1 else 'are'} below {name}",
                next_step=f"kedge submaster add {below[0]} --below master, or remove it first",
            )  # fmt: skip
        using = [g.name for g in site.groups.values() if name in g.parents] if site else []
        owned = self._ownership.arbiter.groups()
        using += [group for group in owned if owner(group) == name and group not in using]
        if using:
            raise KedgeError(
                "submaster.used", f"{name} is a parent of group {', '.join(using)}",
                next_step="Take it out of the groups' parents, kedge apply, and try again",
            )  # fmt: skip
        self.passages.withdraw(self.known[name])
        self.passages.end(self.known[name])
        del self.known[name]
        self._store.put(KIND, name, None)
        self._permits.end(peer_of(name))
        self._head.journal.write("", "submaster", name, after="removed")

    def named(self, name: str) -> SubMaster:
        """The sub-master of that name; raises `KedgeError`."""
        if name not in self.known:
            near = nearest(name, list(self.known))
            raise KedgeError(
                "submaster.unknown", f"there is no sub-master {name!r}",
                next_step=f"Did you mean {near}?" if near else f"kedge submaster add {name}",
            )  # fmt: skip
        return self.known[name]

    def check(self, site: Site) -> None:
        """Refuse a site that names sub-masters which nobody added, and which run on none of its nodes."""
        hosted = hosts_of(site)
        for group in site.groups.values():
            for parent in group.parents:
                if parent != MASTER and parent not in hosted:
                    self.named(parent)

    def attach(self, known: SubMaster, attached: bool, why: str) -> None:
        """It came, or it is silent."""
        if known.attached == attached:
            return
        known.attached, known.since = attached, self._clock.wall()
        was, now = ("silent", "there") if attached else ("there", "silent")
        self._head.journal.write("", "submaster", known.name, was, now, why)
        self.all_stale()
        for name in self.ways.directly_below(known.name):
            other = self.known[name]
            words = (
                f"below {known.name}" if attached else f"{known.name} is silent, which it is below"
            )
            self.attach(other, attached and other.heard, words)

    def all_stale(self) -> None:
        """Something changed that all are told."""
        for known in self.known.values():
            known.stale = True

    def there(self, name: str) -> bool:
        """Whether somebody is heard."""
        return name == MASTER or (name in self.known and self.known[name].attached)

    def addresses(self, node: str, own: str) -> tuple[str, ...]:
        """Where a node's agent may report (``own``: the master's address); nothing where only the
        master is."""
        parents = self._ownership.parents(self._ownership.group_of(node))
        if parents == (MASTER,):
            return ()
        known = {name: each.health.get("address", "") for name, each in self.known.items()}
        known[MASTER] = own
        return tuple(known[name] for name in parents if known.get(name))

    def peer_at(self, address: str) -> bool:
        """Whether a sub-master speaks from this address."""
        return any(k.attached and k.address == address for k in self.known.values())

    def silence(self, name: str) -> str:
        """Why a sub-master that is not attached does not answer."""
        known, above = self.known[name], self.ways.above.get(name)
        if above is not None and not self.known[above].attached:
            return f"{name} is below {above}: {self.silence(above)}"
        if not known.health and not known.address:
            return f"{name} has not been heard since this master started"
        return f"{name} is silent since {_span(self._clock.wall() - known.since)}"

    def _standing(self, name: str) -> str:
        """How a parent stands to a group that nobody acts on."""
        if self.there(name):
            return f"{name} is there, and takes it when the lease is over"
        return self.silence(name)

    def without_owner(self) -> dict[str, str]:
        """Groups that nobody acts on now, and why."""
        now, found = self._clock.now(), dict[str, str]()
        site, ownership = self._ownership.site, self._ownership
        for group in site.groups if site is not None else ():
            owner, parents = ownership.owner(group), ownership.parents(group)
            if owner and (self.there(owner) or ownership.arbiter.there(owner, now)):
                continue
            words = ", ".join(self._standing(p) for p in parents if p in self.known)
            before = f"its last owner was {owner}" if owner else "it never had an owner"
            found[group] = f"nobody acts on it: {before}; {words}"
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One row a sub-master."""
        site, ownership = self._ownership.site, self._ownership
        groups = {group: ownership.owner(group) for group in (site.groups if site else ())}
        hosts = hosts_of(site) if site is not None else {}
        return [
            {
                "name": name,
                "state": "there" if known.attached else "silent",
                "since": known.since,
                "address": known.health.get("address") or known.address,
                "version": known.health.get("version", ""),
                "owns": sorted(group for group, owner in groups.items() if owner == name),
                "parent_of": sorted(g for g in groups if name in ownership.parents(g)),
                "nodes": int(known.health.get("nodes", 0)),
                "degraded": dict(known.health.get("degraded", {})),
                "why": "" if known.attached else self.silence(name),
                "node": hosts.get(name, ""),
                "below": self.ways.above.get(name, ""),
            }
            for name, known in sorted(self.known.items())
        ]


def _span(seconds: float) -> str:
    """A time in its largest unit: ``40 s``, ``3 min``, ``2 h``."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
