"""Which pool of each budget a node draws from, and how much a pool holds, as the site says."""

from __future__ import annotations

from collections.abc import Mapping

from kedge.core.node import Configuration
from kedge.site.model import Site

Limits = Mapping[str, Mapping[str, int]]
"""Budget -> kind of pool (``cluster``, ``group`` or an attribute like ``rack``) -> limit."""


def pools_of(node: Configuration, budgets: Limits) -> dict[str, str]:
    """Budget -> the pool that ``node`` draws from: of the first kind that says something of it."""
    found: dict[str, str] = {}
    for budget, kinds in budgets.items():
        for kind in kinds:
            pool = _pool(node, kind)
            if pool:
                found[budget] = pool
                break
    return found


def limits_of(site: Site) -> dict[str, dict[str, int]]:
    """Budget -> pool -> limit, for every pool that some node draws from."""
    limits: dict[str, dict[str, int]] = {budget: {} for budget in site.budgets}
    for node in site.nodes.values():
        for budget, pool in pools_of(node, site.budgets).items():
            limits[budget][pool] = site.budgets[budget][pool.partition(" ")[0]]
    return limits


def _pool(node: Configuration, kind: str) -> str:
    if kind == "cluster":
        return "cluster"
    value = node.group if kind == "group" else node.attributes.get(kind)
    return f"{kind} {value}" if value else ""
