"""What sub-masters told the master of nodes: their owners' views, and agents' reports from any parent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from kedge.core.lease import MASTER
from kedge.core.node import Observation
from kedge.lib.errors import KedgeError
from kedge.master.agents.link import Link
from kedge.master.engine.head import Head
from kedge.master.engine.nodes import NodeState
from kedge.master.tree.heard import Report, report_here, report_of
from kedge.sync.wire import Epoch

Json = dict[str, Any]


class View(msgspec.Struct, frozen=True):
    """A node as its owner sees it: its row and its path, the values behind them (with when and by whom
    they were seen), and the orders that its agent has."""

    row: Json
    path: Json
    orders: dict[str, bytes]
    seen: dict[str, tuple[Any, float, str]]
    refined: dict[str, Any]
    facts: dict[str, Any]
    configured: dict[str, Any] | None = None
    """What the refined values stand for, at the owner; None: its Kedge does not say."""


class Relayed:
    """Everything that was relayed, by node."""

    def __init__(self, head: Head, link: Link) -> None:
        self._head, self._link = head, link
        self.views: dict[str, View] = {}
        self._by: dict[str, str] = {}
        self._boots: dict[str, Epoch | None] = {}
        self._reports: dict[str, dict[str, Report]] = {}

    def view(self, node: str, by: str, written: object) -> None:
        """The owner's view of a node: shown as it is, and what was seen is seen here too."""
        known = self._head.nodes.get(node)
        try:
            told = msgspec.convert(written, View)
        except msgspec.ValidationError:
            return
        if known is None:
            return
        self.views[node], self._by[node], self._boots[node] = told, by, self._boot(node)
        for variable, value in told.refined.items():
            if variable in self._head.graph.variables and _is_of(known, variable, told.configured):
                self._head.refine(node, variable, value)
        by_whom: dict[str, Json] = {}
        for variable in known.discovered.keys() - told.seen.keys():
            by_whom.setdefault(known.discovered[variable].by, {})[variable] = None
        for variable, (value, _, by) in told.seen.items():
            if variable in self._head.graph.variables:
                by_whom.setdefault(by, {})[variable] = value
        for by, values in by_whom.items():
            try:
                self._head.observe(node, values, by)
            except KedgeError as error:  # of another release's module
                self._head.journal.write(node, "refused", error.code, cause=str(error))
        for variable, (value, at, by) in told.seen.items():
            if variable in known.discovered:
                known.discovered[variable] = Observation(value, at, by)
        known.facts = told.facts

    def moving(self, nodes: Iterable[str]) -> bool:
        """Whether steps are in flight on some of these nodes, as their owner told."""
        views = (self.views.get(name) for name in nodes)
        return any(view is not None and view.row.get("phase") == "moving" for view in views)

    def orders(self, node: str, owner: str) -> dict[str, bytes]:
        """The orders that a node's agent has from an owner before ``owner``, which has not spoken yet; none
        of an earlier boot, which the agent would carry out as new ones."""
        view = self.views.get(node)
        if view is None or self._by[node] == owner or self._boots[node] != self._boot(node):
            return {}
        return dict(view.orders)

    def take_orders(self, node: str) -> dict[str, bytes]:
        """The same, for the master itself: no later owner gets them any more."""
        orders = self.orders(node, MASTER)
        if orders:
            self.views[node] = msgspec.structs.replace(self.views[node], orders={})
        return orders

    def _boot(self, node: str) -> Epoch | None:
        known = self._link.keys.get(node)
        return known[0] if known is not None else None

    def report(self, node: str, by: str, told: object) -> None:
        """What the node's agent reported to a parent (None: that parent knows nothing any more)."""
        report = report_of(told)
        reports = self._reports.setdefault(node, {})
        reports.pop(by, None)
        if report is not None:
            reports[by] = report

    def best(self, node: str, there: Callable[[str], bool]) -> tuple[str, Report] | None:
        """The newest report and who relays it: one of an attached agent before all others, and of a
        parent that is ``there`` where two are equal."""
        reports = dict(self._reports.get(node, {}))
        own = report_here(self._link, node, holds=True)
        if own is not None:
            reports[MASTER] = own
        if not reports:
            return None
        by = max(
            reports, key=lambda name: (reports[name].attached, reports[name].stamp, there(name))
        )
        return by, reports[by]

    def succeeded(self, name: str) -> None:
        """A process that remembers nothing has taken the name of the one that told: what that one told counts
        on, as if it were silent."""
        for reports in self._reports.values():
            report = reports.pop(name, None)
            if report is not None:
                reports[former(name)] = report

    def give_up(self, name: str) -> list[str]:
        """Agents that only the former process of that name ever heard are silent; returns their nodes."""
        found = [node for node, reports in self._reports.items() if former(name) in reports]
        for node in found:
            report = self._reports[node].pop(former(name))
            self._reports[node].setdefault(name, report._replace(attached=False))
        return found

    def only(self, node: str, parents: Collection[str]) -> None:
        """What others than these said of a node counts no more: it has other parents for long enough."""
        reports = self._reports.get(node, {})
        for by in [by for by in reports if by not in parents]:
            del reports[by]

    def forget(self, nodes: Mapping[str, object]) -> None:
        """Drop what is known of nodes that are in no site any more."""
        self.views = {name: view for name, view in self.views.items() if name in nodes}
        self._reports = {name: reports for name, reports in self._reports.items() if name in nodes}


def former(name: str) -> str:
    """How the process is called whose name another one has taken."""
    return f"the former {name}"


def _is_of(node: NodeState, variable: str, configured: Mapping[str, Any] | None) -> bool:
    """Whether the owner has refined what is configured here. It may not have heard yet what is new: what the
    former value stands for would make a node that is about to go look as if it had arrived."""
    return configured is None or configured.get(variable) == node.configuration.values.get(variable)
