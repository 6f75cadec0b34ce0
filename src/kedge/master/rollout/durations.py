"""How long nodes will be away for a change, from the plans they would take and what was measured."""

from __future__ import annotations

from collections.abc import Iterable

from kedge.core.condition import PlannedStep
from kedge.master.engine.foreseeing import path_to
from kedge.master.engine.head import Head
from kedge.site.model import Site

UNKNOWN_S = 600.0
"""Taken for an update whose plan is not known: the node cannot get there as it is now."""


class Durations:
    """Asks the engine, once for each sort of node."""

    def __init__(self, head: Head) -> None:
        self._head = head

    def of(self, site: Site, nodes: Iterable[str]) -> dict[str, float]:
        """Seconds for each node, were it configured as in ``site``."""
        known: dict[tuple[object, ...], float] = {}
        found: dict[str, float] = {}
        for name in nodes:
            state = self._head.nodes.get(name)
            if state is None:
                continue
            seen = self._head.engine.condition(name).discovered
            configuration = site.nodes[name]
            before = str(state.configuration.values.get("image.wanted"))
            after = str(configuration.values.get("image.wanted"))
            alike = (
                configuration.group, configuration.profiles, before, after, *sorted(seen.items()),
            )  # fmt: skip
            if alike not in known:
                plan = path_to(self._head, configuration)
                known[alike] = away_s(plan) if plan or before == after else UNKNOWN_S
            found[name] = known[alike]
        return found


def away_s(plan: Iterable[PlannedStep]) -> float:
    """From the first step that takes the node away to the end of the last one."""
    ends: list[float] = []
    first: float | None = None
    for step in plan:
        begin = max((ends[place] for place in step.after), default=0.0)
        if step.breaking and (first is None or begin < first):
            first = begin
        ends.append(begin + step.cost_s)
    return max(ends, default=0.0) - first if first is not None else 0.0
