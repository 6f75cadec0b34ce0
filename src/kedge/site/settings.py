"""Reads budgets (how many nodes at once) and the modules' settings."""

from __future__ import annotations

from collections.abc import Collection

from kedge.core.kinds import Value
from kedge.site import words
from kedge.site.leaves import entries
from kedge.site.problems import Problems, shorten
from kedge.site.tree import Scalar, Table, Tree, plain

_POOLS = ("cluster", "group")


def read_budgets(
    tree: Tree, attributes: Collection[str], problems: Problems
) -> dict[str, dict[str, int]]:
    """``power.inrush: { rack: 4, cluster: 20 }``; one number alone is the whole cluster's."""
    budgets: dict[str, dict[str, int]] = {}
    for name, spec, place in entries(tree, "budgets", problems):
        if not words.BUDGET.fullmatch(name):
            problems.refuse(
                "bad_name",
                place,
                f"{shorten(name, 80)!r} is no name for a budget",
                next_step="Write it like power.inrush",
            )
        elif isinstance(spec, Table):
            limits = budgets.setdefault(name, {})
            for pool, value in spec.entries.items():
                if pool not in _POOLS and pool not in attributes:
                    problems.unknown(
                        "unknown_pool", spec.keys[pool], "pool", pool, [*_POOLS, *attributes]
                    )
                elif (limit := _limit(value, f"{name}.{pool}", problems)) is not None:
                    limits[pool] = limit
        elif (limit := _limit(spec, name, problems)) is not None:
            budgets[name] = {"cluster": limit}
    return budgets


def _limit(tree: Tree, what: str, problems: Problems) -> int | None:
    value = tree.value if isinstance(tree, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1_000_000:
        return value
    problems.refuse(
        "bad_value",
        tree.place,
        f"budget {what} must be a whole number of nodes",
        next_step="Give a number from 1 up, or remove it for no limit",
    )
    return None


def read_settings(tree: Tree, problems: Problems) -> dict[str, Value]:
    """Settings by module; the modules check their own."""
    found: dict[str, Value] = {}
    for name, spec, place in entries(tree, "settings", problems):
        secret = words.find_secret(spec)
        if words.is_secret_key(name) or secret is not None:
            problems.refuse(
                "secret_inline",
                secret.place if secret else place,
                f"settings.{shorten(name, 80)} holds a secret; a site only names secrets",
                next_step="Put it into secrets.yaml of the state directory",
            )
        else:
            found[name] = plain(spec)
    return found
