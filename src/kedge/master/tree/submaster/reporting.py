"""What a sub-master reports: each node as it is seen here, its agent's own report, and its own health.

What changed within a moment travels together, however much it was, so a subtree takes few datagrams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kedge import __version__
from kedge.lib.errors import KedgeError
from kedge.master.agents.link import Link
from kedge.master.agents.neighbours import Neighbours
from kedge.master.engine.head import Head
from kedge.master.operations.operations import Operations
from kedge.master.persistence.journal import Watcher
from kedge.master.process.supervisor import Supervisor
from kedge.master.tree.entries import AGENT, CONFIGURED, HEALTH, KEY, VIEW, pack
from kedge.master.tree.heard import report_here
from kedge.master.tree.logs import LogUp
from kedge.master.tree.relays import Owed
from kedge.master.tree.submaster.branch import Branch
from kedge.master.tree.submaster.uplink import Uplink
from kedge.stores.port import Entry
from kedge.sync.events import ConfiguredAcked, Discovered, Joined, Left, Lost, ParentEvent, Resumed

GATHER_S = 0.5
HEALTH_S = 5.0


class Reporter:
    """Gathers what changed, and reports it."""

    def __init__(
        self,
        head: Head,
        link: Link,
        branch: Branch,
        uplink: Uplink,
        supervisor: Supervisor,
        address: Callable[[], str],
    ) -> None:
        self._head, self._link, self._branch = head, link, branch
        self._uplink, self._supervisor, self._address = uplink, supervisor, address
        self._agents: set[str] = set()
        self._relays, self._owing = Owed(link), set[str]()
        self._told: dict[str, bytes] = {}
        self._log = LogUp()
        self.operations: Operations | None = None
        self.boot_id = ""
        """The kernel's name for the present boot of this machine."""

    def hears(self, neighbours: Neighbours) -> Callable[[ParentEvent], None]:
        """What the link tells: first to those who apply it here, then it is to be relayed."""

        def told(event: ParentEvent) -> None:
            if self._branch.below.told(event):
                return
            neighbours.told(event)
            if isinstance(event, Joined | Resumed | Discovered | Lost | Left | ConfiguredAcked):
                self._agents.add(event.node)
            if isinstance(event, Lost | Left):
                self._branch.heard.again(event.node)

        return told

    async def report(self) -> None:
        """Report what changes, for as long as it is not cancelled; everything at first."""
        with self._head.journal.watch() as watcher:
            changed: set[str] = {*self._head.nodes}
            self._agents.update(self._head.nodes)
            health_in_s = 0.0
            while True:
                said: list[Entry] = []
                changed |= self._changed(watcher, said)
                changes = self._log.entries(said)
                if changed or self._agents:
                    changes = self._views(changed) | self._reports() | changes
                    changed.clear()
                changes |= self._differing(self._owed())
                changes |= self._differing(dict(self._branch.sharing.held()))
                if health_in_s <= 0:
                    health_in_s = HEALTH_S
                    changes |= self._differing({HEALTH: pack(self._health())})
                if changes:
                    self._uplink.report(changes)
                await asyncio.sleep(GATHER_S)
                health_in_s -= GATHER_S

    def _changed(self, watcher: Watcher, said: list[Entry]) -> set[str]:
        found: set[str] = set()
        for topic, message in watcher.taken():
            if topic == "lagged":
                found |= {*self._head.nodes}
            if isinstance(message, Entry):
                said.append(message)
                found.update(message.nodes)
            elif topic == "node":
                found.add(str(message["node"]))
        return found

    def _differing(self, entries: dict[str, bytes | None]) -> dict[str, bytes | None]:
        fresh = {name: raw for name, raw in entries.items() if self._told.get(name) != raw}
        for name, raw in fresh.items():
            if raw is None:
                self._told.pop(name, None)
            else:
                self._told[name] = raw
        return fresh

    def _views(self, names: set[str]) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for name in sorted(names):
            node = self._head.nodes.get(name)
            mine = node is not None and not self._head.elsewhere(node.configuration)
            found[VIEW + name] = pack(self._view(name)) if mine else None
        return self._differing(found)

    def _view(self, name: str) -> dict[str, Any]:
        assert self.operations is not None
        node = self._head.nodes[name]
        row = self.operations.status(name)[0]
        return {
            "row": row,
            "path": self.operations.plan(name)[0],
            "orders": self._link.orders(name),
            "seen": {key: [o.value, o.at, o.by] for key, o in sorted(node.discovered.items())},
            "refined": dict(node.refined),
            "configured": {key: node.configuration.values.get(key) for key in node.refined},
            "facts": dict(node.facts),
        }

    def _owed(self) -> dict[str, bytes | None]:
        """What was written here for agents that are attached elsewhere."""
        owed = {
            CONFIGURED + n: raw for n, raw in self._relays.of(self._branch.heard.elsewhere).items()
        }
        gone = dict.fromkeys(self._owing - owed.keys())
        self._owing = set(owed)
        return {**gone, **owed}

    def _reports(self) -> dict[str, bytes | None]:
        names, self._agents = self._agents, set()
        found: dict[str, bytes | None] = {}
        for name in sorted(names):
            known, foreign = name in self._head.nodes, self._branch.foreign(name)
            report = report_here(self._link, name, holds=foreign) if known else None
            found[AGENT + name] = pack(report.as_entry()) if report is not None else None
            keys = self._link.keys.get(name)
            if keys is not None:
                epoch, key = keys
                told = {"term": epoch.term, "counter": epoch.counter, "key": key}
                found[KEY + name] = pack(told)
        return self._differing(found)

    def _health(self) -> dict[str, Any]:
        assert self.operations is not None
        try:
            address = self._address()
        except KedgeError:
            address = ""  # there is no site yet, or no place in it
        return {
            "version": __version__,
            "boot_id": self.boot_id,
            "address": address,
            "degraded": dict(self._supervisor.failing),
            "nodes": len(self._head.nodes),
            "modules": self.operations.modules.versions(),
        }
