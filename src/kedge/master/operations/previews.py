"""Dry runs: what a change would alter, and what nodes would then do; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.master.engine.foreseeing import NOTHING_MORE, Supposed, concerned, foresee
from kedge.master.engine.head import Head
from kedge.master.intent.holds import scope_of
from kedge.master.intent.wishes import Wishes
from kedge.master.operations.choosing import chosen
from kedge.master.operations.prospects import prospect_row
from kedge.master.operations.wording import rows
from kedge.site.diff import Change
from kedge.site.model import Site
from kedge.stores.port import Intent

Json = dict[str, Any]
BY = "this command"


class Previews:
    """One method for each verb that changes something; part of `kedge.master.operations`."""

    def __init__(self, head: Head, wishes: Wishes) -> None:
        self._head = head
        self._wishes = wishes

    def files(self, files: Mapping[str, str]) -> Json:
        """Of applying these files."""
        site, changes = self._wishes.diff(files)
        return self._answer(site, changes, concerned(self._head, site))

    def values(self, nodes: str, values: Mapping[str, Value]) -> Json:
        """Of setting values on nodes, or taking them back."""
        names = chosen(self._head, nodes, at_least_one=True)
        return self._of(self._wishes.with_values(names, values, BY), names)

    def power(self, nodes: str, action: str) -> Json:
        """Of switching nodes (a cycle configures nothing: it passes through off)."""
        names = chosen(self._head, nodes, at_least_one=True)
        if action in ("on", "off"):
            intent = self._wishes.with_values(names, {"power.state": action}, BY)
            return {**self._of(intent, names), "action": action}
        if action != "cycle":
            raise KedgeError("power.action", f"{action!r}: valid are on, off, cycle")
        off = Supposed({"power.state": "off"}, {})
        return {**self._of(self._wishes.intent, names, off), "action": action}

    def hold(self, nodes: str, reason: str, *, group: str = "", cluster: bool = False) -> Json:
        """Of holding nodes."""
        names = tuple(chosen(self._head, nodes)) if nodes else ()
        scope = scope_of(self._head.site, names, group, cluster=cluster)
        intent = self._wishes.with_hold(scope, reason, BY)
        return self._of(intent, scope.members(self._head.site))

    def release(self, nodes: str, *, group: str = "", cluster: bool = False) -> Json:
        """Of releasing nodes."""
        names = tuple(chosen(self._head, nodes)) if nodes else ()
        scope = scope_of(self._head.site, names, group, cluster=cluster)
        intent = self._wishes.without_hold(scope)
        return self._of(intent, scope.members(self._head.site))

    def retry(self, nodes: str) -> Json:
        """Of trying quarantined nodes again."""
        names = chosen(self._head, nodes, at_least_one=True)
        return self._of(self._wishes.intent, names, Supposed({}, {}, retried=True))

    def meaning(self, nodes: str, values: Mapping[str, Value]) -> Json:
        """Of configured values that would stand for something else than now (a tag that moves)."""
        names = chosen(self._head, nodes, at_least_one=True)
        return self._of(self._wishes.intent, names, Supposed({}, values))

    def _of(self, intent: Intent, names: list[str], supposed: Supposed = NOTHING_MORE) -> Json:
        site, changes = self._wishes.preview(intent)
        return self._answer(site, changes, names, supposed)

    def _answer(
        self,
        site: Site,
        changes: Iterable[Change],
        names: list[str],
        supposed: Supposed = NOTHING_MORE,
    ) -> Json:
        prospect = foresee(self._head, site, names, supposed)
        return {
            "nodes": fold(names),
            "changes": rows(changes),
            "prospect": prospect_row(prospect, self._head.graph),
        }
