"""Reads budgets (how many nodes at once) and the modules' settings."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from kedge.core.kinds import Value
from kedge.site import words
from kedge.site.leaves import entries
from kedge.site.model import Origin, Share
from kedge.site.problems import Problems, shorten
from kedge.site.tree import Scalar, Table, Tree, plain

_POOLS = ("cluster", "group")


_PERCENT = re.compile(r"([1-9][0-9]?|100) ?%")


@dataclass(slots=True)
class Budgets:
    """The limits of steps, by budget and kind of pool, and those of nodes out of service."""

    steps: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])
    out_of_service: dict[str, Share] = field(default_factory=dict[str, Share])


def read_budgets(tree: Tree, attributes: Collection[str], problems: Problems) -> Budgets:
    """``power.inrush: { rack: 4, cluster: 20 }``; one number alone is the whole cluster's."""
    found = Budgets()
    for name, spec, place in entries(tree, "budgets", problems):
        if not words.BUDGET.fullmatch(name):
            problems.refuse(
                "bad_name",
                place,
                f"{shorten(name, 80)!r} is no name for a budget",
                next_step="Write it like power.inrush, power.switch_on or power.*",
            )
            continue
        limits = {
            pool: limit
            for pool, value in _pools(name, spec, attributes, problems).items()
            if (limit := _limit(value, name, pool, problems)) is not None
        }
        if name == words.OUT_OF_SERVICE:
            found.out_of_service = limits
        else:
            found.steps[name] = {pool: limit.number for pool, limit in limits.items()}
            found.origins[name] = Origin("budgets", place.file, place.line)
    return found


def _pools(
    name: str, spec: Tree, attributes: Collection[str], problems: Problems
) -> dict[str, Tree]:
    """What is written for each kind of pool that there is."""
    if not isinstance(spec, Table):
        return {"cluster": spec}
    known: dict[str, Tree] = {}
    for pool, value in spec.entries.items():
        if pool in _POOLS or pool in attributes:
            known[pool] = value
        else:
            problems.unknown(
                "unknown_pool", spec.keys[pool], f"pool of {name},", pool, [*_POOLS, *attributes],
            )  # fmt: skip
    return known


def _limit(tree: Tree, budget: str, pool: str, problems: Problems) -> Share | None:
    """A whole number of nodes; of nodes out of service also a share of the pool's."""
    value = tree.value if isinstance(tree, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1_000_000:
        return Share(value)
    shares = budget == words.OUT_OF_SERVICE
    share = _PERCENT.fullmatch(value) if shares and isinstance(value, str) else None
    if share is not None:
        return Share(int(share[1]), percent=True)
    problems.refuse(
        "bad_value",
        tree.place,
        f"budget {budget}.{pool} must be a whole number of nodes"
        + (", or a share of them from 1% to 100%" if shares else ""),
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
