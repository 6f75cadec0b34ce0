"""What all parts of the engine share: the graph, the planner, the queues, the time, the effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from kedge.core.action import State, Values
from kedge.core.compiled import Compiled
from kedge.core.engine.breaker import Breaker
from kedge.core.engine.budgets import Budgets
from kedge.core.engine.chance import Chance
from kedge.core.engine.costs import Costs
from kedge.core.engine.nodes import Nodes
from kedge.core.engine.record import Record
from kedge.core.engine.settings import Settings
from kedge.core.engine.timers import Sort, Timer, Timers
from kedge.core.engine.transition import Transition
from kedge.core.events import Effect, Many, Noted, Pools
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
    nodes: Nodes
    looked_at: frozenset[int] = frozenset()
    timers: Timers = field(default_factory=Timers)
    budgets: Budgets = field(default_factory=Budgets)
    spans: Budgets = field(default_factory=Budgets)
    effects: list[Effect | Many] = field(default_factory=list[Effect | Many])
    now: float = 0.0
    serial: int = 0
    followed: int = 0
    transitions: dict[Hashable, Transition] = field(default_factory=dict[Hashable, Transition])
    durations_s: dict[tuple[str, int], list[float]] = field(
        default_factory=dict[tuple[str, int], list[float]]
    )
    polled: set[int] = field(default_factory=set[int])
    moves: dict[tuple[State, Seen, bool], Move] = field(
        default_factory=dict[tuple[State, Seen, bool], Move]
    )
    stalled: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    unleased: dict[str, str] = field(default_factory=dict[str, str])
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

    def reading(self, key: tuple[tuple[str, str], ...]) -> Seen:
        """An observation in numbers; what is not planned or not valid is left out."""
        known = self._readings.get(key)
        if known is None:
            if len(self._readings) >= READINGS_KEPT:
                self._readings.clear()
            known = self._readings[key] = self.compiled.assignment(dict(key))
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
            record = self.nodes.get(node, self.now)
            if record is not None:
                return record
        return None

    def look(self, node: str) -> Record | None:
        """A node's record, only to look at."""
        row = self.nodes.rows.get(node)
        return None if row is None else self.nodes.look(row, self.now)

    def after(
        self,
        delay_s: float,
        record: Record,
        sort: Sort,
        about: int = 0,
        level: int = 0,
        serial: int = 0,
    ) -> None:
        """Set a timer for a node."""
        timer = Timer(sort, self.nodes.rows[record.name], about, level, serial)
        self.timers.set(self.now, delay_s, timer)

    def touched(self) -> tuple[int, ...]:
        """Differs once anything was touched that nodes share."""
        shared = (self.budgets.touched, self.spans.touched, self.breaker.touched)
        return (*shared, self.chance.drawn, len(self.stalled))

    def measured(self, hardware_class: str, action: int, durations_s: Sequence[float]) -> None:
        """Some nodes took so long for an action; learnt when the event is over. One that has no deadline
        waits for others (a job that ends): that says nothing of how long it takes."""
        mutation = self.compiled.actions[action].mutation
        if mutation is not None and mutation.timeout_s <= 0:
            return
        self.durations_s.setdefault((hardware_class, action), []).extend(durations_s)

    def learn_costs(self) -> None:
        """Learn from all that was measured, in an order that does not depend on that of the nodes."""
        for (hardware_class, action), durations_s in self.durations_s.items():
            self.costs.measured(hardware_class, action, sorted(durations_s))
        self.durations_s.clear()

    def next_serial(self) -> int:
        """A number never used before in this run."""
        self.serial += 1
        return self.serial

    def forget(self) -> None:
        """Forget all that was remembered in numbers of a graph."""
        for kept in (
            self.transitions, self.moves, self.grounds, self.drawn, self._readings, self._states,
            self.durations_s,
        ):  # fmt: skip
            kept.clear()

    def shared(self, state: State) -> State:
        """The one tuple that all nodes in this state share."""
        if len(self._states) > STATES_KEPT:
            self._states.clear()
        return self._states.setdefault(state, state)
