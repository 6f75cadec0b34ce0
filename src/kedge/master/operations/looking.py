"""What people may look at of the engine's workings: budgets, learned costs, chains of causes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from kedge.core.chronicle import Happening, chronicle
from kedge.core.engine.budgets import Usage
from kedge.lib.nodeset import fold
from kedge.master.engine.head import Head
from kedge.master.operations.choosing import chosen
from kedge.stores.port import LoggedEvent, Store

Json = dict[str, Any]
LOG_MOST = 2_000
TOLD_PAGE = 500
TOLD_PAGES = 8
FIRST = 10
"""So many of those who wait are named in their order."""


class Looks:
    """Part of `kedge.master.operations`; plain JSON-able values."""

    def __init__(self, head: Head, store: Store, row: Callable[[str], Json]) -> None:
        """``row`` is what ``kedge status`` shows of a node: the chain ends with the same words."""
        self._head = head
        self._store = store
        self._row = row

    def why(self, name: str) -> Json:
        """The chain of what happened that led to what a node does now, oldest first."""
        (node,) = chosen(self._head, name, exactly_one=True)
        self._head.journal.flush()
        log = [_happening(each) for each in self._store.events(nodes=[node], limit=LOG_MOST)]
        actions = self._head.graph.compiled.mutation_actions
        variable = self._head.graph.compiled.name
        writes = {
            name: frozenset(variable(number) for number, _ in action.writes)
            for name, action in actions.items()
        }
        told = lru_cache(64)(self._told)
        row = self._row(node)
        return {
            **{key: row[key] for key in ("node", "phase", "since", "why", "next")},
            "chain": [asdict(link) for link in chronicle(log, writes, told)],
        }

    def _told(self, seq: int) -> Happening | None:
        """The last that a person did, or start of the head, before ``seq``; not searched for long."""
        for _ in range(TOLD_PAGES):
            after = max(1, seq - 1 - TOLD_PAGE)  # behind 0 would be the last lines
            if seq - 1 <= after:
                return None
            page = self._store.events(nodes=[], after=after, limit=seq - 1 - after)
            for each in reversed(page):
                if each.what == "intent" or (each.what, each.subject) == ("master", "start"):
                    return _happening(each)
            seq = after + 1
        return None

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


def _happening(event: LoggedEvent) -> Happening:
    return Happening(
        event.seq, event.at, event.what, event.subject, event.before, event.after, event.cause
    )


def _pool(usage: Usage, *, span: bool = False) -> Json:
    waiting = list(dict.fromkeys(map(_node, usage.waiting)))
    return {
        "budget": usage.pool[0],
        "pool": usage.pool[1],
        "span": span,
        "limit": usage.limit,
        "share": usage.share,
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
