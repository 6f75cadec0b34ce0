"""Who owns which group: the arbiter's decisions, kept in the store before they count.

The master owns the groups that name no parents. A group that names parents is its first parent's that is
there (a new group waits a while for it before the master takes it, where that is one too); as long as none of
them ever was, and somebody may have acted on its nodes before, it is the master's.
"""

from __future__ import annotations

from collections.abc import Callable

from kedge.core.lease import MASTER, Arbiter, LeaseTerms, Owned
from kedge.core.node import Configuration
from kedge.master.agents.link import is_peer
from kedge.master.agents.permits import next_term
from kedge.master.engine.head import Head
from kedge.master.process.clock import Clock
from kedge.master.tree.master.moving import Moving
from kedge.site.model import Site
from kedge.stores.port import Store
from kedge.sync.wire import Epoch

KIND = "group_owner"
BUSY_MOST_S = 900.0
"""How long a group waits for its better parent because its nodes boot."""


class Ownership:
    """The owners of all groups. ``given`` hears of a group, its former owner and its new one."""

    def __init__(
        self,
        head: Head,
        store: Store,
        clock: Clock,
        terms: LeaseTerms,
        term: int,
        given: Callable[[str, str, str], None],
    ) -> None:
        self._head, self._store, self._clock, self._term = head, store, clock, term
        self._given = given
        self._blank = False
        self._busy_since: dict[str, float] = {}
        self.site: Site | None = None
        self.arbiter = Arbiter(terms)
        kept = store.records(KIND)
        self.arbiter.restore(
            {group: Owned(record["owner"], int(record["term"])) for group, record in kept.items()},
            clock.now(),
            [group for group, record in kept.items() if record.get("orphaned")],
        )
        self.moving = Moving(self.arbiter, store, clock.now(), term)

    def parents(self, group: str) -> tuple[str, ...]:
        """The parents of a group, the preferred one first; the master itself where it names none."""
        site = self._head.site
        known = site.groups.get(group) if site is not None else None
        return (known.parents if known is not None else ()) or (MASTER,)

    def group_of(self, node: str) -> str:
        """A node's group; empty for one that is not known."""
        known = self._head.nodes.get(node)
        return known.configuration.group if known is not None else ""

    def elsewhere(self, node: Configuration) -> str:
        """Who else acts on a node; empty: the master does."""
        return self.moving.left(node.name) or self.elsewhere_of(node.group)

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

    def term(self, node: str) -> int:
        """The fencing term of a node's owner, never less than the one of this start."""
        owned = self.arbiter.owner(self.group_of(node))
        least = self.moving.least.get(node, 0)
        return max(self._term, least, owned.term if owned is not None else 0)

    def tenure(self, node: str) -> Epoch | None:
        """How the master's configured record of a node is ordered; None: it is not its to write."""
        if is_peer(node):
            return Epoch(self._term, 0)
        move = self.moving.nodes.get(node)
        if move is not None and move.owner == MASTER:
            return Epoch(move.term, 0)  # its agent must hear where to report from now on
        known = self._head.nodes.get(node)
        if known is not None and self.elsewhere(known.configuration):
            return None
        return Epoch(self.term(node), 0)

    def joined(self, name: str) -> None:
        """A sub-master joined anew: what it owned was another process's, whose lease is waited for."""
        for group in self.arbiter.joined(name):
            owned = self.arbiter.owner(group)
            assert owned is not None
            record = {"owner": name, "term": owned.term, "orphaned": True}
            self._store.put(KIND, group, record)
            why = f"{name} joined anew: the lease of its former process is waited for"
            self._head.journal.write("", "owner", group, name, "nobody", why)

    def begin(self) -> None:
        """At the start: without a site all groups to come are new ones."""
        self._blank = self._head.site is None

    def take_site(self, site: Site) -> None:
        """Groups may have come, have other parents, or be gone."""
        before, self.site = self.site, site
        if before is not None:
            self._move(before, site)
        for group in site.groups.values():
            if not group.parents or self.arbiter.owner(group.name) is not None:
                continue
            known = before.nodes if before is not None else dict[str, Configuration]()
            fresh = (before is not None or self._blank) and known.keys().isdisjoint(group.nodes)
            if not fresh:  # it may have been the master's own until now
                self._give(group.name, MASTER)
        for group in self.arbiter.groups():
            if group not in site.groups:
                self.arbiter.forget(group)
                self._store.put(KIND, group, None)

    def _move(self, before: Site, site: Site) -> None:
        """Nodes may have gone to another owner: its term must be greater than that of their last boot."""
        for group in self.moving.take(before, site, self._clock.now()):
            owned = self.arbiter.owner(group)
            if owned is not None:
                self._give(group, owned.owner)
            elif not site.groups[group].parents:
                term = next_term(self._store)
                self.moving.least.update(dict.fromkeys(site.groups[group].nodes, term))

    def decide(self, moving: Callable[[str], bool]) -> None:
        """Pass on the groups whose time has come; one in which something is ``moving`` waits for its
        better parent until that is over, for a bounded time."""
        if self.site is None:
            return
        wanted = {
            group: self.parents(group)
            for group in self.site.groups
            if self.arbiter.owner(group) is not None or self.parents(group) != (MASTER,)
        }
        now = self._clock.now()
        for group in wanted:
            if self.parents(group)[0] == self.owner(group) or not moving(group):
                self._busy_since.pop(group, None)
            else:
                self._busy_since.setdefault(group, now)
        busy = {group for group, at in self._busy_since.items() if now - at < BUSY_MOST_S}
        for group, owner in self.arbiter.decide(wanted, now, busy):
            self._give(group, owner)

    def _give(self, group: str, owner: str) -> None:
        before, term = self.arbiter.owner(group), next_term(self._store)
        self._store.put(KIND, group, {"owner": owner, "term": term})
        self.arbiter.give(group, owner, term, self._clock.now())
        former = before.owner if before is not None else ""
        self._head.journal.write("", "owner", group, former, owner, f"term {term}")
        self._given(group, former, owner)
