"""Which pools of each budget a node draws from, and how much a pool holds, as the site says."""

from __future__ import annotations

from collections.abc import Mapping

from kedge.core.events import BudgetSet, Pools
from kedge.core.node import Configuration
from kedge.site.model import Site

Limits = Mapping[str, Mapping[str, int]]
"""Budget -> kind of pool (``cluster``, ``group`` or an attribute like ``rack``) -> limit."""


class Membership:
    """The pools of the nodes of one site. Nodes in the same pools share one tuple."""

    def __init__(self, site: Site) -> None:
        self._budgets = site.budgets
        self._shared: dict[Pools, Pools] = {}

    def limits(self, node: Configuration) -> Pools:
        """The pools that the node's steps draw from: one of each kind that says something of it."""
        found = tuple(
            sorted(
                (budget, pool)
                for budget, kinds in self._budgets.items()
                for kind in kinds
                if (pool := pool_of(node, kind))
            )
        )
        return self._shared.setdefault(found, found)


def pool_of(node: Configuration, kind: str) -> str:
    """``rack 7``; empty where the node has no rack."""
    if kind == "cluster":
        return "cluster"
    value = node.group if kind == "group" else node.attributes.get(kind)
    return f"{kind} {value}" if value is not None and value != "" else ""


def limits_of(site: Site) -> dict[tuple[str, str], BudgetSet]:
    """The limit of every pool that some node draws from."""
    found: dict[tuple[str, str], BudgetSet] = {}
    membership = Membership(site)
    for node in site.nodes.values():
        for budget, pool in membership.limits(node):
            limit = site.budgets[budget][pool.partition(" ")[0]]
            found[budget, pool] = BudgetSet(budget, pool, limit)
    return found
