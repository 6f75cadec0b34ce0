"""What people ask for of nodes that sub-masters act on: passed on to the owners, until they have done it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kedge.master.engine.head import Head
from kedge.master.tree.entries import pack, unpack
from kedge.master.tree.master.known import SubMaster
from kedge.master.tree.master.ownership import Ownership
from kedge.master.tree.master.submasters import SubMasters


class Asks:
    """Numbers requests and hands them to the owners' records."""

    def __init__(self, head: Head, ownership: Ownership, submasters: SubMasters, term: int) -> None:
        self._head, self._ownership, self._submasters = head, ownership, submasters
        self._term, self._asked = term, 0

    def ask(self, names: list[str], what: str, by: str, goals: Mapping[str, str]) -> list[str]:
        """Pass a request on to the owners of these nodes; returns those that are the master's own."""
        own: list[str] = []
        of_owner: dict[str, list[str]] = {}
        for name in names:
            owner = self._ownership.elsewhere(self._head.nodes[name].configuration)
            if owner:
                of_owner.setdefault(owner, []).append(name)
            else:
                own.append(name)
        for owner, nodes in of_owner.items():
            known = self._submasters.known.get(owner)
            if known is None:
                continue
            self._asked += 1
            asked = {"what": what, "nodes": nodes, "by": by, "goals": dict(goals)}
            known.asks[f"{self._term}-{self._asked:06}"] = pack(asked)
            known.stale = True
        return own

    def tell(self, what: str, names: Collection[str], by: str) -> list[str]:
        """Ask something of all sub-masters that is about no node; returns which."""
        for known in self._submasters.known.values():
            self._asked += 1
            known.asks[f"{self._term}-{self._asked:06}"] = pack(
                {"what": what, "nodes": list[str](), "by": by, "names": list(names)}
            )
            known.stale = True
        return sorted(self._submasters.known)

    def drop(self, known: SubMaster, group: str) -> None:
        """A group is another's: what was asked of its former owner is not done any more."""
        nodes = {n for n, s in self._head.nodes.items() if s.configuration.group == group}
        for name, raw in list(known.asks.items()):
            if nodes.intersection(unpack(raw)["nodes"]):
                del known.asks[name]
                why = f"group {group} has another owner; ask again"
                self._head.journal.write("", "request", name, after="dropped", cause=why)
