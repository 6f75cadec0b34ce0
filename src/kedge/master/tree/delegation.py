"""The master's side of the tree: which sub-masters there are, who owns which group, and what each is told.

The master owns the groups that name no parents. Of all others it arbitrates the leases; it plans nothing for
their nodes and begins nothing on them, and shows what their owners report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kedge.core.lease import MASTER, Arbiter, LeaseTerms, Owned
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.lib.nearest import nearest
from kedge.master.clock import Clock
from kedge.master.encoding import encode
from kedge.master.head import Head
from kedge.master.link import Link
from kedge.master.permits import Permits, next_term
from kedge.master.secrets import Secrets
from kedge.master.tree.entries import (
    AGENT,
    ASK,
    ASKED,
    HEALTH,
    KEY,
    LEASE,
    NODE,
    SECRET,
    SEEN,
    VIEW,
    WISH,
    is_peer,
    pack,
    peer_of,
    unpack,
)
from kedge.master.tree.heard import Heard
from kedge.master.tree.parts import site_parts
from kedge.master.tree.relayed import Relayed
from kedge.site.model import Site
from kedge.stores.port import Store
from kedge.sync.events import Discovered, Joined, Left, Lost, ParentEvent, Resumed
from kedge.sync.wire import Epoch

KIND, OWNERS = "submaster", "group_owner"
LOOK_S = 1.0
JOIN_LASTS_S = 7 * 86400.0


@dataclass(slots=True)
class SubMaster:
    """One sub-master as the master knows it. ``down`` is all that it is told."""

    name: str
    attached: bool = False
    since: float = 0.0
    address: str = ""
    health: dict[str, Any] = field(default_factory=dict[str, Any])
    asks: dict[str, bytes] = field(default_factory=dict[str, bytes])
    down: dict[str, bytes] = field(default_factory=dict[str, bytes])
    handed: dict[str, bytes] = field(default_factory=dict[str, bytes])
    wishes: dict[str, int] = field(default_factory=dict[str, int])
    answered: dict[str, int] = field(default_factory=dict[str, int])


class Delegation:
    """Sub-masters and the groups that they own."""

    def __init__(
        self,
        head: Head,
        link: Link,
        permits: Permits,
        secrets: Secrets,
        store: Store,
        clock: Clock,
        terms: LeaseTerms,
        term: int,
    ) -> None:
        self._head, self._link, self._permits, self._secrets = head, link, permits, secrets
        self._store, self._clock, self._term = store, clock, term
        self.submasters = {
            name: SubMaster(name, since=clock.wall()) for name in store.records(KIND)
        }
        self.arbiter = Arbiter(terms)
        self.arbiter.restore(
            {
                group: Owned(record["owner"], int(record["term"]))
                for group, record in store.records(OWNERS).items()
            },
            clock.now(),
        )
        self.relayed = Relayed(head, link)
        self._heard = Heard(head, link)
        self._site: Site | None = None
        self._blank = False
        self._parts: dict[str, dict[str, bytes]] = {}
        self._acted: dict[str, str] = {}
        self._asked = 0
        self.url: Callable[[], str] = lambda: ""
        """Where the master's blobs are served; empty: nowhere."""
        self.address: Callable[[], str] = lambda: ""
        """Where agents find the master itself."""
        head.elsewhere = self.elsewhere
        link.tenure = self._tenure
        permits.tenure = lambda node: (self._tenure_term(node), 0)

    # ---- who acts

    def parents(self, group: str) -> tuple[str, ...]:
        """The parents of a group, the preferred one first; the master itself where it names none."""
        site = self._head.site
        known = site.groups.get(group) if site is not None else None
        return (known.parents if known is not None else ()) or (MASTER,)

    def elsewhere(self, node: Configuration) -> str:
        """Who else acts on a node; empty: the master does."""
        return self.elsewhere_of(node.group)

    def group_of(self, node: str) -> str:
        """A node's group; empty for one that is not known."""
        known = self._head.nodes.get(node)
        return known.configuration.group if known is not None else ""

    def elsewhere_of(self, group: str) -> str:
        """The same, of a group."""
        owned = self.arbiter.owner(group)
        if owned is None:
            parents = self.parents(group)
            return "" if parents == (MASTER,) else parents[0]
        if owned.owner == MASTER:
            return "" if self.arbiter.acts(group) else self.parents(group)[0]
        return owned.owner

    def owner(self, group: str) -> str:
        """The owner of a group; empty: nobody has it yet."""
        owned = self.arbiter.owner(group)
        if owned is not None:
            return owned.owner
        return MASTER if self.parents(group) == (MASTER,) else ""

    def _tenure_term(self, node: str) -> int:
        known = self._head.nodes.get(node)
        owned = self.arbiter.owner(known.configuration.group) if known is not None else None
        return max(self._term, owned.term if owned is not None else 0)

    def _tenure(self, node: str) -> Epoch | None:
        if is_peer(node):
            return Epoch(self._term, 0)
        known = self._head.nodes.get(node)
        if known is not None and self.elsewhere(known.configuration):
            return None
        return Epoch(self._tenure_term(node), 0)

    # ---- sub-masters

    def add(self, name: str) -> dict[str, Any]:
        """A new sub-master (or a known one on a new machine); what its join file must say."""
        if name == MASTER or name in self._head.nodes:
            raise KedgeError(
                "submaster.name", f"{name!r} cannot name a sub-master", next_step="Take sm1"
            )
        permit = self._permits.grant(peer_of(name))
        self._link.admit(permit, JOIN_LASTS_S)
        self._store.put(KIND, name, {"added": self._clock.wall()})
        self.submasters.setdefault(name, SubMaster(name, since=self._clock.wall()))
        self._head.journal.write("", "submaster", name, after="added")
        return {"name": name, "term": permit.term, "counter": permit.counter, "token": permit.token}

    def remove(self, name: str) -> None:
        """Forget a sub-master that no group names any more."""
        self._known(name)
        site = self._head.site
        using = [g.name for g in site.groups.values() if name in g.parents] if site else []
        using += [g for g in self.arbiter.groups() if self.owner(g) == name and g not in using]
        if using:
            raise KedgeError(
                "submaster.used", f"{name} is a parent of group {', '.join(using)}",
                next_step="Take it out of the groups' parents, kedge apply, and try again",
            )  # fmt: skip
        del self.submasters[name]
        self._store.put(KIND, name, None)
        self._permits.end(peer_of(name))
        self._link.forget(peer_of(name))
        self._head.journal.write("", "submaster", name, after="removed")

    def _known(self, name: str) -> SubMaster:
        if name not in self.submasters:
            near = nearest(name, list(self.submasters))
            raise KedgeError(
                "submaster.unknown", f"there is no sub-master {name!r}",
                next_step=f"Did you mean {near}?" if near else f"kedge submaster add {name}",
            )  # fmt: skip
        return self.submasters[name]

    def check(self, site: Site) -> None:
        """Refuse a site that names sub-masters which nobody added."""
        for group in site.groups.values():
            for parent in group.parents:
                if parent != MASTER:
                    self._known(parent)

    # ---- what comes up

    def told(self, event: ParentEvent) -> bool:
        """Apply an event of the link that is about a sub-master; False for any other."""
        if not is_peer(event.node):
            if isinstance(event, Joined):
                self._hand_keys(event.node)
            return False
        known = self.submasters.get(event.node[1:])
        if known is None:
            return True
        if isinstance(event, Joined | Resumed):
            self._permits.end(event.node)
            self._attach(known, True, f"at {event.address[0]}")
            known.address = event.address[0]
        elif isinstance(event, Lost):
            self._attach(known, False, f"nothing heard for {event.silent_s:.0f} s")
        elif isinstance(event, Left):
            self._attach(known, False, "it was stopped")
        elif isinstance(event, Discovered):
            self._discovered(known, event.changes)
        return True

    def _attach(self, known: SubMaster, attached: bool, why: str) -> None:
        if known.attached != attached:
            known.attached, known.since = attached, self._clock.wall()
            before, after = ("silent", "there") if attached else ("there", "silent")
            self._head.journal.write("", "submaster", known.name, before, after, why)

    def _discovered(self, known: SubMaster, changes: Mapping[str, bytes | None]) -> None:
        now = self._clock.now()
        if changes.get(LEASE) is not None and self.arbiter.saw(
            known.name, int(unpack(changes[LEASE])), now
        ):
            self._say_lease(known)
        for name, raw in changes.items():
            told = unpack(raw)
            if name.startswith(KEY) and told is not None and self._may(known, name[len(KEY) :]):
                node = name[len(KEY) :]
                if self._link.know(node, Epoch(told["term"], told["counter"]), told["key"]):
                    self._hand_keys(node)
            elif name.startswith(AGENT) and self._may(known, name[len(AGENT) :]):
                self.relayed.report(name[len(AGENT) :], known.name, told)
            elif name.startswith(VIEW) and self._owns(known, name[len(VIEW) :]):
                self.relayed.view(name[len(VIEW) :], told)
            elif name == HEALTH and told is not None:
                changed = known.health.get("address") != told["address"]
                known.health = told
                if changed:
                    self._parts.clear()
            elif name.startswith(WISH):
                if told is None:
                    known.wishes.pop(name[len(WISH) :], None)
                else:
                    known.wishes[name[len(WISH) :]] = int(told)
            elif name.startswith(ASKED) and told:
                known.asks.pop(name[len(ASKED) :], None)

    def _may(self, known: SubMaster, node: str) -> bool:
        """Whether a sub-master may speak of a node at all."""
        state = self._head.nodes.get(node)
        return state is not None and known.name in self.parents(state.configuration.group)

    def _owns(self, known: SubMaster, node: str) -> bool:
        state = self._head.nodes.get(node)
        return state is not None and self.owner(state.configuration.group) == known.name

    # ---- what goes down

    def _say(self, known: SubMaster) -> None:
        """Tell a sub-master everything as it is now; only changes travel."""
        site = self._head.site
        if site is None:
            return
        groups = sorted(g.name for g in site.groups.values() if known.name in g.parents)
        if known.name not in self._parts:
            parts = site_parts(site, groups, self._common())
            parts.update(self._named_secrets(site, parts))
            self._parts[known.name] = parts
        down = dict(self._parts[known.name])
        down[LEASE] = pack(self.arbiter.answer(known.name))
        for name in (node for group in groups for node in site.groups[group].nodes):
            key = self._link.keys.get(name)
            if key is not None:
                epoch, secret = key
                told = {"term": epoch.term, "counter": epoch.counter, "key": secret}
                down[KEY + name] = pack(told)
        for name, raw in known.asks.items():
            down[ASK + name] = raw
        down.update(self._seen(known, groups))
        down.update(known.handed)
        if down != known.down:
            gone = dict.fromkeys(known.down.keys() - down.keys())
            known.down = down
            self._link.put_all(peer_of(known.name), {**down, **gone})

    def _say_lease(self, known: SubMaster) -> None:
        """Answer a renewal at once, without looking at anything else."""
        answer = pack(self.arbiter.answer(known.name))
        known.down[LEASE] = answer
        self._link.put(peer_of(known.name), LEASE, answer)

    def _common(self) -> dict[str, object]:
        terms = self.arbiter.terms
        return {
            "url": self.url(),
            "lease": [terms.duration_s, terms.operation_s, terms.drift],
            "addresses": {
                name: known.health.get("address", "") for name, known in self.submasters.items()
            },
        }

    def _named_secrets(self, site: Site, parts: Mapping[str, bytes]) -> dict[str, bytes]:
        """The secrets that these nodes' configuration names."""
        names: set[str] = set()
        for node in site.nodes.values():
            if NODE + node.name not in parts:
                continue
            bmc = node.values.get("power.bmc")
            if isinstance(bmc, dict) and isinstance(bmc.get("credentials"), str):
                names.add(str(bmc["credentials"]))
        found: dict[str, bytes] = {}
        for name in names:
            try:
                found[SECRET + name] = pack(dict(self._secrets.named(name)))
            except KedgeError:
                continue  # the step that needs it says so
        return found

    def _seen(self, known: SubMaster, groups: list[str]) -> dict[str, bytes]:
        """For the owner: what agents report to other parents."""
        site, found = self._head.site, dict[str, bytes]()
        assert site is not None
        for group in groups:
            if self.owner(group) != known.name:
                continue
            for name in site.groups[group].nodes:
                best = self.relayed.best(name, self._there)
                if best is not None and best[0] != known.name:
                    found[SEEN + name] = pack(best[1].as_entry())
        return found

    def _there(self, name: str) -> bool:
        return name == MASTER or (name in self.submasters and self.submasters[name].attached)

    def _hand_keys(self, node: str) -> None:
        state = self._head.nodes.get(node)
        for parent in self.parents(state.configuration.group) if state is not None else ():
            if parent in self.submasters:
                self._say(self.submasters[parent])

    # ---- where they are

    def addresses(self, node: str) -> tuple[str, ...]:
        """Where a node's agent may report; nothing where only the master is."""
        parents = self.parents(self.group_of(node))
        if parents == (MASTER,):
            return ()
        known = {name: each.health.get("address", "") for name, each in self.submasters.items()}
        known[MASTER] = self.address()
        return tuple(known[name] for name in parents if known.get(name))

    def peer_at(self, address: str) -> bool:
        """Whether a sub-master speaks from this address."""
        return any(k.attached and k.address == address for k in self.submasters.values())

    # ---- how it stands

    def silence(self, name: str) -> str:
        """Why a sub-master that is not attached does not answer."""
        known = self.submasters[name]
        if not known.health and not known.address:
            return f"{name} has not been heard since this master started"
        minutes = max(0.0, self._clock.wall() - known.since) / 60
        return f"{name} is silent since {minutes:.0f} min"

    def without_owner(self) -> dict[str, str]:
        """Groups that nobody acts on now, and why."""
        now, found = self._clock.now(), dict[str, str]()
        for group in self._site.groups if self._site is not None else ():
            owner, parents = self.owner(group), self.parents(group)
            if owner and (self._there(owner) or self.arbiter.there(owner, now)):
                continue
            words = ", ".join(self.silence(p) for p in parents if p in self.submasters)
            before = f"its last owner was {owner}" if owner else "it never had an owner"
            found[group] = f"nobody acts on it: {before}; {words}"
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One row a sub-master."""
        found: list[dict[str, Any]] = []
        for name, known in sorted(self.submasters.items()):
            groups = {g: self.owner(g) for g in (self._site.groups if self._site else ())}
            found.append(
                {
                    "name": name,
                    "state": "there" if known.attached else "silent",
                    "since": known.since,
                    "address": known.health.get("address") or known.address,
                    "version": known.health.get("version", ""),
                    "owns": sorted(g for g, owner in groups.items() if owner == name),
                    "parent_of": sorted(g for g in groups if name in self.parents(g)),
                    "nodes": int(known.health.get("nodes", 0)),
                    "degraded": dict(known.health.get("degraded", {})),
                    "why": "" if known.attached else self.silence(name),
                }
            )
        return found

    # ---- going on

    def look(self) -> None:
        """Pass on what is to be passed on, and tell everybody what is new."""
        site = self._head.site
        if site is None:
            return
        now = self._clock.now()
        if site is not self._site:
            self._take_site(site)
        wanted = {
            group: self.parents(group)
            for group in site.groups
            if self.arbiter.owner(group) is not None or self.parents(group) != (MASTER,)
        }
        for group, owner in self.arbiter.decide(wanted, now):
            self._give(group, owner)
        self._tell_parents(site)
        acted = {group: self.elsewhere_of(group) for group in site.groups}
        changed = {group for group in acted if self._acted.get(group, "") != acted[group]}
        self._acted = acted
        if changed:
            nodes = self._head.nodes.items()
            self._head.owner_changed([n for n, s in nodes if s.configuration.group in changed])
        for known in self.submasters.values():
            self._say(known)
        for group in acted:
            if not acted[group] and MASTER in self.parents(group) and self.submasters:
                self._take_seen(group, site)

    def _tell_parents(self, site: Site) -> None:
        """Tell the agents of the master's own nodes where else they may report."""
        for group in site.groups.values():
            if group.parents and not self.elsewhere_of(group.name):
                for name in group.nodes:
                    raw = encode(list(self.addresses(name)))
                    if self._link.entry(name, "parents") != raw:
                        self._link.put(name, "parents", raw)

    def _take_seen(self, group: str, site: Site) -> None:
        """Of a group that is the master's own again: what agents still report to others."""
        for name in site.groups[group].nodes:
            best = self.relayed.best(name, self._there)
            if best is not None and best[0] != MASTER:
                self._heard.take(name, best[1].as_entry())

    def _take_site(self, site: Site) -> None:
        before, self._site = self._site, site
        self._parts.clear()
        self.relayed.forget(site.nodes)
        for group in site.groups.values():
            if group.parents and self.arbiter.owner(group.name) is None:
                known = before.nodes if before is not None else dict[str, Configuration]()
                fresh = (before is not None or self._blank) and known.keys().isdisjoint(group.nodes)
                if (
                    not fresh or MASTER in group.parents
                ):  # it may have been the master's own until now
                    self._give(group.name, MASTER)
        for group in self.arbiter.groups():
            if group not in site.groups:
                self.arbiter.forget(group)
                self._store.put(OWNERS, group, None)

    def _give(self, group: str, owner: str) -> None:
        before, term = self.arbiter.owner(group), next_term(self._store)
        self._store.put(OWNERS, group, {"owner": owner, "term": term})
        self.arbiter.give(group, owner, term, self._clock.now())
        self._head.journal.write(
            "", "owner", group, before.owner if before else "", owner, f"term {term}"
        )
        for known in self.submasters.values():
            if known.asks and before is not None and known.name == before.owner:
                self._drop_asks(known, group)

    def _drop_asks(self, known: SubMaster, group: str) -> None:
        nodes = {n for n, s in self._head.nodes.items() if s.configuration.group == group}
        for name, raw in list(known.asks.items()):
            if nodes.intersection(unpack(raw)["nodes"]):
                del known.asks[name]
                why = f"group {group} has another owner; ask again"
                self._head.journal.write("", "request", name, after="dropped", cause=why)

    def begin(self) -> None:
        """Look once, at the start; without a site all groups to come are new ones."""
        self._blank = self._head.site is None
        self.look()

    async def keep(self) -> None:
        """Look again and again, for as long as it is not cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    # ---- what people ask for

    def ask(self, names: list[str], what: str, by: str, goals: Mapping[str, str]) -> list[str]:
        """Pass a request on to the owners of these nodes; returns those that are the master's own."""
        own: list[str] = []
        of_owner: dict[str, list[str]] = {}
        for name in names:
            configuration = self._head.nodes[name].configuration
            owner = self.elsewhere(configuration)
            if owner:
                of_owner.setdefault(owner, []).append(name)
            else:
                own.append(name)
        for owner, nodes in of_owner.items():
            known = self.submasters.get(owner)
            if known is None:
                continue
            self._asked += 1
            asked = {"what": what, "nodes": nodes, "by": by, "goals": dict(goals)}
            known.asks[f"{self._term}-{self._asked:06}"] = pack(asked)
            self._say(known)
        return own
