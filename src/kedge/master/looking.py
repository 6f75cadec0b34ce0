"""What people may look at of the engine's workings: budgets and learned costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kedge.core.engine.budgets import Usage
from kedge.lib.nodeset import fold
from kedge.master.head import Head

Json = dict[str, Any]
FIRST = 10
"""So many of those who wait are named in their order."""


class Looks:
    """Part of `kedge.master.operations`; plain JSON-able values."""

    def __init__(self, head: Head) -> None:
        self._head = head

    def budgets(self) -> list[Json]:
        """One row for each pool that has a limit."""
        steps, spans = self._head.engine.usage()
        return [*(_pool(usage, span=True) for usage in spans), *map(_pool, steps)]

    def costs(self) -> list[Json]:
        """One row for each mutation and class of hardware on which it was measured; one without a
        class for each mutation that never was."""
        found = [
            {
                "mutation": each.mutation,
                "hardware": each.hardware_class,
                "declared_s": each.declared_s,
                "surcharge_s": each.surcharge_s,
                "learned_s": each.learned_s,
                "runs": each.runs,
                "median_s": round(each.median_s, 2),
                "least_s": round(each.least_s, 2),
                "most_s": round(each.most_s, 2),
            }
            for each in self._head.engine.costs()
        ]
        measured = {row["mutation"] for row in found}
        nothing = {"learned_s": 0, "runs": 0, "median_s": 0.0, "least_s": 0.0, "most_s": 0.0}
        found += [
            {
                "mutation": name,
                "hardware": "",
                "declared_s": mutation.cost_s,
                "surcharge_s": mutation.surcharge_s,
                **nothing,
            }
            for name, mutation in self._head.graph.mutations.items()
            if name not in measured
        ]
        return sorted(found, key=lambda row: (row["mutation"], row["hardware"]))


def _pool(usage: Usage, *, span: bool = False) -> Json:
    waiting = list(dict.fromkeys(map(_node, usage.waiting)))
    return {
        "budget": usage.pool[0],
        "pool": usage.pool[1],
        "span": span,
        "limit": usage.limit,
        "used": usage.used,
        "users": _nodes((*usage.holders, *usage.counted)),
        "down": _nodes(usage.counted),
        "waiting": fold(waiting),
        "waiting_count": len(waiting),
        "first": waiting[:FIRST],
    }


def _nodes(users: Iterable[str]) -> str:
    return fold(dict.fromkeys(map(_node, users)))


def _node(user: str) -> str:
    """``n1`` of ``n1/power.switch_on``."""
    return user.partition("/")[0]
