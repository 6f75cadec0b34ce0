"""Which pools of each budget a node draws from, and how much a pool holds, as the site says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase

from kedge.core.events import BudgetSet, Pools
from kedge.core.graph import Graph
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError, KedgeErrors
from kedge.lib.nearest import nearest
from kedge.site.model import Site
from kedge.site.words import OUT_OF_SERVICE


class Membership:
    """The pools of the nodes of one site. Nodes in the same pools share one tuple."""

    def __init__(self, site: Site) -> None:
        self._budgets = [(budget, kind) for budget, kinds in site.budgets.items() for kind in kinds]
        self._spans = [(OUT_OF_SERVICE, kind) for kind in site.out_of_service]
        self._shared: dict[Pools, Pools] = {}

    def limits(self, node: Configuration) -> Pools:
        """The pools that the node's steps draw from: one of each kind that says something of it."""
        return self._pools(node, self._budgets)

    def spans(self, node: Configuration) -> Pools:
        """The pools that it draws from while it is out of service."""
        return self._pools(node, self._spans)

    def _pools(self, node: Configuration, kinds: Iterable[tuple[str, str]]) -> Pools:
        found = tuple(sorted((name, pool) for name, kind in kinds if (pool := pool_of(node, kind))))
        return self._shared.setdefault(found, found)


def pool_of(node: Configuration, kind: str) -> str:
    """``rack 7``; empty where the node has no rack."""
    if kind == "cluster":
        return "cluster"
    value = node.group if kind == "group" else node.attributes.get(kind)
    return f"{kind} {value}" if value is not None and value != "" else ""


def limits_of(site: Site) -> dict[tuple[str, str], BudgetSet]:
    """The limit of every pool that some node draws from, of steps and of nodes out of service."""
    found: dict[tuple[str, str], BudgetSet] = {}
    membership, members = Membership(site), Counter[tuple[str, str]]()
    for node in site.nodes.values():
        for budget, pool in membership.limits(node):
            limit = site.budgets[budget][pool.partition(" ")[0]]
            found[budget, pool] = BudgetSet(budget, pool, limit)
        members.update(membership.spans(node))
    for (budget, pool), count in members.items():
        limit = site.out_of_service[pool.partition(" ")[0]].of(count)
        found[budget, pool] = BudgetSet(budget, pool, limit, span=True)
    return found


def check_budgets(site: Site, graph: Graph) -> None:
    """Raise `KedgeErrors` for budgets that nothing would ever draw from: their names are misspelt."""
    names = {name for mutation in graph.mutations.values() for name in mutation.budgets}
    valid = sorted({*graph.mutations, *names})
    errors: list[KedgeError] = []
    for budget, origin in site.budget_origins.items():
        if budget in names or any(fnmatchcase(name, budget) for name in graph.mutations):
            continue
        near = nearest(budget, [*valid, OUT_OF_SERVICE])
        errors.append(
            KedgeError(
                "site.unknown_budget", f"no mutation draws from a budget {budget!r}",
                where=f"{origin.file}:{origin.line}",
                next_step=(f"Did you mean {near}? " if near else "")
                + f"Valid: {OUT_OF_SERVICE}, {', '.join(valid)}, or a pattern like power.*",
            )
        )  # fmt: skip
    if errors:
        raise KedgeErrors(errors)
