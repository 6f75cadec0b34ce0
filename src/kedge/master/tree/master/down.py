"""What each sub-master is told: its part of the site, its lease, shares, secrets, keys, what others saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kedge.core.lease import MASTER
from kedge.master.agents.link import Link
from kedge.master.process.secrets import Secrets
from kedge.master.tree.entries import ASK, KEY, LEASE, LEAVING, ORDERS, SEEN, pack
from kedge.master.tree.master.known import SubMaster
from kedge.master.tree.master.ownership import Ownership
from kedge.master.tree.master.relayed import Relayed
from kedge.master.tree.master.relaying import Relaying
from kedge.master.tree.master.shares import Shares
from kedge.master.tree.master.submasters import SubMasters
from kedge.master.tree.parts import secret_parts, site_parts
from kedge.site.model import Site


class Down:
    """Writes the configured records of sub-masters."""

    def __init__(
        self,
        link: Link,
        secrets: Secrets,
        ownership: Ownership,
        submasters: SubMasters,
        relayed: Relayed,
        shares: Shares,
        relaying: Relaying,
    ) -> None:
        self._link, self._secrets = link, secrets
        self._ownership, self._submasters = ownership, submasters
        self._relayed, self._shares, self._relaying = relayed, shares, relaying
        self.url: Callable[[], str] = lambda: ""
        """Where the master's blobs are served; empty: nowhere."""
        self.address: Callable[[], str] = lambda: ""
        """Where agents find the master itself."""
        self.modules: Mapping[str, object] = {}
        """The master's settings of modules, which sub-masters that have none go by."""

    def addresses(self, node: str) -> tuple[str, ...]:
        """Where a node's agent may report; nothing where only the master is."""
        return self._submasters.addresses(node, self.address())

    def answer(self, known: SubMaster) -> None:
        """Answer a renewal at once, without looking at anything else."""
        answer = pack(self._ownership.arbiter.answer(known.name))
        known.down[LEASE] = answer
        self._submasters.passages.put(known.name, {LEASE: answer})

    def say(self, known: SubMaster, site: Site) -> None:
        """Tell a sub-master everything as it is now; only changes travel."""
        known.stale = False
        groups = sorted(g.name for g in site.groups.values() if known.name in g.parents)
        if not known.parts:
            moving = self._ownership.moving
            known.moving = {n: moving.as_it_was(n, known.name) for n in moving.nodes}
            known.parts = site_parts(site, groups, self._common(), known.moving)
            for name, before in known.moving.items():
                if before is not None:
                    addresses = self.addresses(name) or (self.address(),)
                    known.parts[LEAVING + name] = pack(list(addresses))
            known.parts.update(secret_parts(site, known.parts, self._secrets, self.modules))
        down = {
            **known.parts,
            LEASE: pack(self._ownership.arbiter.answer(known.name)),
            **known.handed,
            **self._submasters.passages.admissions(known.name),
            **self._shares.told(known.name),
            **self._relaying.down(known.name),
        }
        for name in (node for group in groups for node in site.groups[group].nodes):
            if name in known.moving:
                continue
            key = self._link.keys.get(name)
            if key is not None:
                epoch, secret = key
                told = {"term": epoch.term, "counter": epoch.counter, "key": secret}
                down[KEY + name] = pack(told)
        down.update({ASK + name: raw for name, raw in known.asks.items()})
        down.update(self._seen(known, groups, site))
        if down != known.down:
            gone = dict.fromkeys(known.down.keys() - down.keys())
            known.down = down
            self._submasters.passages.put(known.name, {**down, **gone})

    def _common(self) -> dict[str, object]:
        terms = self._ownership.arbiter.terms
        known = self._submasters.known
        return {
            "url": self.url(),
            "shares": True,
            "modules": self.modules,
            "lease": [terms.duration_s, terms.operation_s, terms.drift],
            "addresses": {
                MASTER: self.address(),
                **{name: each.health.get("address", "") for name, each in known.items()},
            },
        }

    def _seen(self, known: SubMaster, groups: list[str], site: Site) -> dict[str, bytes]:
        """For the owner: what agents report to other parents."""
        found: dict[str, bytes] = {}
        for group in groups:
            if self._ownership.owner(group) != known.name:
                continue
            for name in site.groups[group].nodes:
                if name in known.moving:
                    continue
                best = self._relayed.best(name, self._submasters.there)
                if best is not None and best[0] != known.name:
                    found[SEEN + name] = pack(best[1].as_entry())
                orders = self._relayed.orders(name, known.name)
                if orders:
                    found[ORDERS + name] = pack(orders)
        return found
