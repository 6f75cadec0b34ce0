"""Nodes that a person put into a group of another owner, while the former owner lets go of them.

The former owner may not have heard of it: for as long as its lease may last, nobody else is told of the
node. Meanwhile the former parents have it as it was, marked as leaving: they do nothing to it but tell its
agent where else to report.
"""

from __future__ import annotations

from dataclasses import dataclass

from kedge.core.lease import MASTER, Arbiter
from kedge.core.node import Configuration
from kedge.site.model import Site
from kedge.stores.port import Store

KIND = "moving"


@dataclass(frozen=True, slots=True)
class Move:
    """A node on its way: who acted on it, in which term and under which parents, how it was configured,
    and until when that owner's lease may last."""

    owner: str
    term: int
    parents: tuple[str, ...]
    before: Configuration
    until: float


class Moving:
    """All nodes on their way, by name."""

    def __init__(self, arbiter: Arbiter, store: Store, now: float, term: int) -> None:
        self._arbiter, self._store, self._term = arbiter, store, term
        until = now + arbiter.terms.duration_s
        self.nodes = {
            name: Move(record["owner"], int(record["term"]), (), Configuration(name), until)
            for name, record in store.records(KIND).items()
        }
        self.least: dict[str, int] = {}
        """The term that a node's next owner must at least have, where it is the master itself."""

    def take(self, before: Site, site: Site, now: float) -> list[str]:
        """Note the nodes that go to another owner; returns the groups whose owners need a greater term."""
        groups: dict[str, None] = {}
        for name, node in site.nodes.items():
            old = before.nodes.get(name)
            if old is None or old.group == node.group or name in self.nodes:
                continue
            left, come = self._owner(before, old.group), self._owner(site, node.group)
            if left == come or not left:
                continue
            term = self._term_of(old.group)
            parents = before.groups[old.group].parents if old.group in before.groups else ()
            until = now + self._arbiter.terms.duration_s
            self.nodes[name] = Move(left, term, parents or (MASTER,), old, until)
            self._store.put(KIND, name, {"owner": left, "term": term})
            if term >= self._term_of(node.group):
                groups[node.group] = None
        self._forget([name for name in self.nodes if name not in site.nodes])
        return list(groups)

    def _forget(self, names: list[str]) -> None:
        for name in names:
            del self.nodes[name]
            self._store.put(KIND, name, None)

    def _owner(self, site: Site, group: str) -> str:
        owned = self._arbiter.owner(group)
        known = site.groups.get(group)
        own = known is None or not known.parents
        return owned.owner if owned is not None else MASTER if own else ""

    def _term_of(self, group: str) -> int:
        owned = self._arbiter.owner(group)
        return max(self._term, owned.term) if owned is not None else self._term

    def over(self, now: float) -> list[str]:
        """Forget those whose former owners' leases are over; returns which."""
        found = [name for name, move in self.nodes.items() if now >= move.until]
        self._forget(found)
        return found

    def left(self, node: str) -> str:
        """Which sub-master a node is leaving; empty: none."""
        move = self.nodes.get(node)
        return move.owner if move is not None and move.owner != MASTER else ""

    def as_it_was(self, node: str, parent: str) -> Configuration | None:
        """What a parent has of a node on its way; None: nothing yet."""
        move = self.nodes[node]
        return move.before if parent in move.parents else None
