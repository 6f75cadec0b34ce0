"""What all parts of the engine share: the graph, the planner, the queues, the time, the effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.action import State, Values
from kedge.core.compiled import Compiled
from kedge.core.engine.breaker import Breaker
from kedge.core.engine.budgets import Budgets
from kedge.core.engine.chance import Chance
from kedge.core.engine.costs import Costs
from kedge.core.engine.record import Record
from kedge.core.engine.settings import Settings
from kedge.core.engine.timers import Timers
from kedge.core.events import Effect, Noted, Pools
from kedge.core.explain import Explainer
from kedge.core.graph import Graph
from kedge.core.planner.cache import Planner
from kedge.core.planner.task import Goals

STATES_KEPT = 100_000
READINGS_KEPT = 100_000

Seen = tuple[tuple[int, int], ...]
"""An observation in numbers."""

Ground = tuple[tuple[int, Values], ...]
"""What must hold of some variables for a node to be in service."""


@dataclass(frozen=True, slots=True)
class Move:
    """What an observation makes of a state: seen, view, changed variables, and those in words."""

    seen: State
    state: State
    changes: tuple[int, ...]
    words: tuple[tuple[str, str, str], ...]


@dataclass(slots=True)
class Common:
    """One per engine. ``now`` and ``effects`` are those of the event being worked on."""

    graph: Graph
    compiled: Compiled
    planner: Planner
    settings: Settings
    chance: Chance
    breaker: Breaker
    explainer: Explainer
    costs: Costs
    restart: int
    looked_at: frozenset[int] = frozenset()
    timers: Timers = field(default_factory=Timers)
    budgets: Budgets = field(default_factory=Budgets)
    spans: Budgets = field(default_factory=Budgets)
    records: dict[str, Record] = field(default_factory=dict[str, Record])
    effects: list[Effect] = field(default_factory=list[Effect])
    now: float = 0.0
    serial: int = 0
    moves: dict[tuple[State, Seen, bool], Move] = field(
        default_factory=dict[tuple[State, Seen, bool], Move]
    )
    stalled: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    grounds: dict[Goals, Ground] = field(default_factory=dict[Goals, Ground])
    drawn: dict[tuple[int, Pools], Pools] = field(default_factory=dict[tuple[int, Pools], Pools])
    _ready: deque[str] = field(default_factory=deque[str])
    _queued: set[str] = field(default_factory=set[str])
    _readings: dict[tuple[tuple[str, str], ...], Seen] = field(
        default_factory=dict[tuple[tuple[str, str], ...], Seen]
    )
    _states: dict[State, State] = field(default_factory=dict[State, State])

    def note(
        self,
        record: Record,
        what: str,
        subject: str,
        before: str = "",
        after: str = "",
        cause: str = "",
    ) -> None:
        """Say something for the log."""
        self.effects.append(Noted(record.name, what, subject, before, after, cause))

    def reading(self, values: Mapping[str, str]) -> Seen:
        """An observation in numbers; what is not planned or not valid is left out."""
        key = tuple(values.items())
        known = self._readings.get(key)
        if known is None:
            if len(self._readings) >= READINGS_KEPT:
                self._readings.clear()
            known = self._readings[key] = self.compiled.assignment(values)
        return known

    def wake(self, node: str) -> None:
        """Look at the node again before this event is over."""
        if node not in self._queued:
            self._queued.add(node)
            self._ready.append(node)

    def next_ready(self) -> Record | None:
        """The next node to look at."""
        while self._ready:
            node = self._ready.popleft()
            self._queued.discard(node)
            record = self.records.get(node)
            if record is not None:
                return record
        return None

    def next_serial(self) -> int:
        """A number never used before in this run."""
        self.serial += 1
        return self.serial

    def shared(self, state: State) -> State:
        """The one tuple that all nodes in this state share."""
        if len(self._states) > STATES_KEPT:
            self._states.clear()
        return self._states.setdefault(state, state)
