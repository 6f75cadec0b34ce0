"""What people want, from texts to configured state: load, diff, apply, set, hold, in transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from kedge.core.graph import Graph
from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.master.engine.budgets import check_budgets
from kedge.master.engine.head import Head
from kedge.master.intent.holds import Scope, spread, without_gone
from kedge.master.intent.releases import Releases
from kedge.master.persistence.journal import Journal
from kedge.master.process.clock import Clock
from kedge.site.diff import Change, diff
from kedge.site.model import Site
from kedge.site.overrides import Override, check_override, with_overrides
from kedge.site.rollouts import read_rollouts
from kedge.stores.port import Intent, Store


class Wishes:
    """The committed intent and the site that follows from it."""

    def __init__(
        self,
        store: Store,
        graph: Graph,
        clock: Clock,
        journal: Journal,
        head: Head,
        releases: Releases,
    ) -> None:
        self._store = store
        self._graph = graph
        self._clock = clock
        self._journal = journal
        self._head = head
        self._releases = releases
        self.intent = store.intent()
        self._resolved: tuple[tuple[object, ...], Site] | None = None
        self._compared: tuple[Site | None, Site, list[Change]] | None = None
        self.check: Callable[[Site], None] = lambda _: None
        """Refuses a site that the tree cannot carry out; raises `KedgeError`."""
        self.elsewhere: KedgeError | None = None
        """What is said where what should be is decided by another process."""

    def start(self) -> Site | None:
        """The site as it was last committed (None: none was ever)."""
        return self._resolve(self.intent) if self.intent.files else None

    def adopt(self, graph: Graph) -> Site | None:
        """Read the committed site with another graph's variables, and all else from now on; raises
        `KedgeError`, and nothing has changed, when the site does not fit."""
        before = self._graph
        self._graph = graph
        self._releases.adopt(graph)
        try:
            site = self.start()
            if site is not None:
                check_budgets(site, graph)
        except KedgeError:
            self._graph = before
            self._releases.adopt(before)
            raise
        return site

    def _resolve(self, intent: Intent) -> Site:
        """The site of an intent; the last one is kept, as what is looked at is mostly done next."""
        if self.elsewhere is not None:
            raise self.elsewhere
        key = (self._graph, intent.files, intent.overrides, intent.holds)
        if self._resolved is None or self._resolved[0] != key:
            self._resolved = key, self._resolve_anew(intent)
        return self._resolved[1]

    def _resolve_anew(self, intent: Intent) -> Site:
        site = self._releases.site_of(intent)
        overrides = {
            node: {key: Override(e["value"], e["by"], e["at"]) for key, e in entries.items()}
            for node, entries in intent.overrides.items()
        }
        held = spread(intent.holds, site)
        return with_overrides(site, overrides, held, self._graph.variables)

    def diff(self, files: Mapping[str, str]) -> tuple[Site, list[Change]]:
        """What applying ``files`` would change; raises `KedgeErrors` for bad input."""
        read_rollouts(files)
        wanted = self._resolve(replace(self.intent, files=dict(files)))
        check_budgets(wanted, self._graph)
        self.check(wanted)
        return wanted, self._changes(wanted)

    def _changes(self, wanted: Site) -> list[Change]:
        """What ``wanted`` would change; the last answer is kept, too."""
        site, last = self._head.site, self._compared
        if last is None or last[0] is not site or last[1] is not wanted:
            last = self._compared = site, wanted, diff(site, wanted)
        return last[2]

    def apply(
        self, files: Mapping[str, str], by: str, expected_revision: int | None = None
    ) -> list[Change]:
        """Commit ``files`` as the site, whole or not at all."""
        _, changes = self.diff(files)
        if expected_revision is None:
            expected_revision = self.intent.revision
        intent = replace(self._pruned(files), files=dict(files))
        self._commit(intent, by, f"apply: {len(changes)} changes", expected_revision)
        return changes

    def _pruned(self, files: Mapping[str, str]) -> Intent:
        """Overrides and holds of nodes that ``files`` no longer name are dropped."""
        site = self._releases.base(replace(self.intent, files=dict(files)))
        return replace(
            self.intent,
            overrides={n: o for n, o in self.intent.overrides.items() if n in site.nodes},
            holds=without_gone(self.intent.holds, site),
        )

    def set_values(self, nodes: Iterable[str], values: Mapping[str, Value], by: str) -> None:
        """Set values on nodes by command (None: go back to what the site's files say)."""
        names = list(nodes)
        what = ", ".join(f"{key}={value}" for key, value in values.items())
        self._commit(self.with_values(names, values, by), by, f"set {fold(names)} {what}")

    def preview(self, intent: Intent) -> tuple[Site, list[Change]]:
        """What committing ``intent`` would change."""
        wanted = self._resolve(intent)
        return wanted, self._changes(wanted)

    def with_values(self, nodes: Iterable[str], values: Mapping[str, Value], by: str) -> Intent:
        """The intent with these values set."""
        names = self._known(nodes)
        overrides: dict[str, Mapping[str, Any]] = dict(self.intent.overrides)
        for node in names:
            entries = overrides[node] = dict(overrides.get(node, {}))
            for key, given in values.items():
                value = self._checked(node, key, given)
                if value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = {"value": value, "by": by, "at": self._clock.wall()}
            if not entries:
                del overrides[node]
        return replace(self.intent, overrides=overrides)

    def hold(self, scope: Scope, reason: str, by: str) -> None:
        """Leave nodes alone, for a reason."""
        self._commit(self.with_hold(scope, reason, by), by, f"hold {scope}: {reason}")

    def with_hold(self, scope: Scope, reason: str, by: str) -> Intent:
        """The intent with this hold."""
        self._known(scope.nodes)
        if not reason.strip():
            raise KedgeError(
                "hold.reason", "a hold needs a reason", next_step="Say it with --reason"
            )
        entry = {"reason": reason, "by": by, "at": self._clock.wall()}
        return replace(self.intent, holds={**self.intent.holds, **dict.fromkeys(scope.keys, entry)})

    def release(self, scope: Scope, by: str) -> None:
        """End holds put by command."""
        self._commit(self.without_hold(scope), by, f"release {scope}")

    def without_hold(self, scope: Scope) -> Intent:
        """The intent without the holds of this scope."""
        self._known(scope.nodes)
        ended = set(scope.keys)
        holds = {key: hold for key, hold in self.intent.holds.items() if key not in ended}
        return replace(self.intent, holds=holds)

    def _commit(
        self, intent: Intent, by: str, what: str, expected_revision: int | None = None
    ) -> None:
        site = self._resolve(intent)
        self.check(site)
        expected = self.intent.revision if expected_revision is None else expected_revision
        self.intent = self._store.commit(intent, expected)
        self._journal.write("", "intent", f"revision {self.intent.revision}", after=what, cause=by)
        self._head.configure(site)

    def written(self, variable: str) -> dict[str, Value]:
        """What the site's files alone say, by node."""
        site = self._releases.base(self.intent)
        return {name: node.values.get(variable) for name, node in site.nodes.items()}

    def _known(self, nodes: Iterable[str]) -> list[str]:
        names = list(nodes)
        unknown = [name for name in names if name not in self._head.nodes]
        if unknown:
            raise KedgeError(
                "node.unknown",
                f"no such node: {fold(unknown)}",
                next_step=f"Known nodes: {fold(self._head.nodes) or 'none; kedge apply first'}",
            )
        return names

    def _checked(self, node: str, key: str, value: Value) -> Value:
        if value is None or self._head.site is None:
            return None
        return check_override(self._head.site, node, key, value, self._graph.variables)
