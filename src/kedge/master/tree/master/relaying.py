"""Who passes on what an owner wrote for a node whose agent is attached to another parent: it comes up to the
master, and goes down to that parent, which passes it on as it came.

Only what the present owner wrote in its present term is passed on, so a former owner's orders end here.
"""

from __future__ import annotations

from collections.abc import Mapping

from kedge.core.lease import MASTER
from kedge.master.agents.link import Link
from kedge.master.tree.entries import RELAY
from kedge.master.tree.heard import Report
from kedge.master.tree.master.ownership import Ownership
from kedge.master.tree.master.relayed import Relayed
from kedge.master.tree.master.submasters import SubMasters
from kedge.master.tree.relays import MOST_BYTES, Owed, written_of


class Relaying:
    """At the master: which parent passes on what."""

    def __init__(
        self, link: Link, ownership: Ownership, submasters: SubMasters, relayed: Relayed
    ) -> None:
        self._link, self._ownership = link, ownership
        self._submasters, self._relayed = submasters, relayed
        self._owed = Owed(link)
        self._written: dict[str, tuple[str, bytes]] = {}
        self._down: dict[str, dict[str, bytes]] = {}
        self._here: set[str] = set()

    def told(self, node: str, owner: str, raw: bytes | None) -> None:
        """An owner has something for an agent that is attached elsewhere (None: not any more)."""
        self._written.pop(node, None)
        if raw is not None:
            self._written[node] = owner, raw

    def down(self, parent: str) -> Mapping[str, bytes]:
        """The entries for a sub-master."""
        return self._down.get(parent, {})

    def look(self, own: Mapping[str, tuple[str, Report]]) -> set[str]:
        """Decide anew who passes on what; returns the sub-masters that are to be told. ``own`` are the
        master's own nodes whose agents report to others."""
        down: dict[str, dict[str, bytes]] = {}
        here: dict[str, bytes] = {}
        for node, (owner, raw) in sorted(self._written.items()):
            best = self._relayed.best(node, self._submasters.there)
            if best is None or not best[1].attached or not self._speaks(node, owner, raw):
                continue
            if best[0] == MASTER:
                here[node] = raw
            else:
                down.setdefault(best[0], {})[RELAY + node] = raw
        moving = self._ownership.moving.nodes
        reports = {n: report for n, (_, report) in own.items() if n not in moving}
        for node, raw in self._owed.of(reports).items():
            down.setdefault(own[node][0], {})[RELAY + node] = raw
        for node in self._here - here.keys():
            self._link.relay(node, None)
        for node, raw in here.items():
            self._link.relay(node, written_of(raw))
        self._here = set(here)
        before, self._down = self._down, {p: _bounded(entries) for p, entries in down.items()}
        return {p for p in before.keys() | down.keys() if self.down(p) != before.get(p, {})}

    def _speaks(self, node: str, owner: str, raw: bytes) -> bool:
        """Whether a record is the present owner's, of its present term, and that one is heard."""
        owned = self._ownership.arbiter.owner(self._ownership.group_of(node))
        written = written_of(raw)
        return (
            node not in self._ownership.moving.nodes
            and self._submasters.there(owner)
            and owned is not None
            and written is not None
            and (owned.owner, owned.term) == (owner, written.stamp.epoch.term)
        )


def _bounded(entries: Mapping[str, bytes]) -> dict[str, bytes]:
    """As many as may be on their way at once."""
    found, left_bytes = dict[str, bytes](), MOST_BYTES
    for name, raw in sorted(entries.items()):
        left_bytes -= len(raw)
        if left_bytes < 0:
            break
        found[name] = raw
    return found
