"""What the head tells the engine, made cheap for many nodes: goals, configurations, observations.

Nodes of one kind differ in a few addresses only, so what follows from all else is worked out once and
shared: their goals, their memberships, and what was seen of them in the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kedge.core.events import ConfiguredMany, NodeConfigured
from kedge.core.graph import Graph
from kedge.core.kinds import Value
from kedge.core.node import Observation
from kedge.master.engine.nodes import NodeState
from kedge.master.process.clock import Clock

GOALS_KEPT = 10_000


class GoalsOf:
    """The goals of nodes; equal ones are one mapping."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._symbols = [n for n, v in graph.variables.items() if v.planned and v.configured]
        self._related = sorted({v.relation.to for v in graph.variables.values() if v.relation})
        self._known: dict[tuple[Value, ...], Mapping[str, str]] = {}

    def of(self, node: NodeState) -> Mapping[str, str]:
        """The goals that follow from all that is configured for ``node``."""
        symbols = map(node.wanted, self._symbols)
        key = (
            *(value if isinstance(value, str) else None for value in symbols),
            *(node.wanted(name) is not None for name in self._related),
        )
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= GOALS_KEPT:
                self._known.clear()
            known = self._known[key] = self._graph.goals(node.goals_from())
        return known


def put_together(events: Iterable[NodeConfigured]) -> list[ConfiguredMany]:
    """The events of nodes that are configured alike as one each, in the order of their first."""
    alike: dict[tuple[object, ...], list[NodeConfigured]] = {}
    for event in events:
        key = (
            id(event.goals), event.hold, event.group, event.hardware_class, event.limits, event.spans,
            event.elsewhere,
        )  # fmt: skip
        alike.setdefault(key, []).append(event)
    return [
        ConfiguredMany(
            [event.node for event in events],
            first.goals,
            [event.fingerprint for event in events],
            first.hold,
            first.group,
            first.hardware_class,
            first.limits,
            first.spans,
            first.elsewhere,
        )
        for events in alike.values()
        for first in events[:1]
    ]


class Moment:
    """What is seen within a moment has one time, and equal observations are one object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = 0.0
        self._last: dict[str, Observation] = {}

    def end(self) -> None:
        """What is seen from now on is seen later."""
        self._at = 0.0

    def seen(self, key: str, value: Value, by: str) -> Observation:
        """An observation of the variable ``key`` now."""
        if not self._at:
            self._at = self._clock.wall()
        last = self._last.get(key)
        if last is not None and last.at == self._at and last.by == by:
            same = last.value is value or (isinstance(value, str) and last.value == value)
            if same:
                return last
        found = self._last[key] = Observation(value, self._at, by)
        return found
