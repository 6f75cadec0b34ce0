"""Learned costs: how long each mutation really takes, per class of hardware.

A mutation's declared duration is its author's guess. What was measured replaces it: once a mutation
was done `LEAST_RUNS` times on nodes of one hardware class, the planner counts with the median of its
last `RECENT` durations there. Only steps that were done count: a failure or a time-out says nothing of
how long the mutation takes.

Durations are held in logarithmic *levels*, each a fifth above the last, and a level is left only when
the median is one and a half levels away. So small drifts change nothing, and classes of hardware that take
nearly the same time share one table, and with it their plans. A mutation's ``surcharge_s`` is its
author's will and no duration: it is added to what was learned too.

A `CostTable` never changes; an episode keeps the one that it began with. Plans are kept per table, so a
new table means new plans, and those of a table that no episode uses any more go as the least recently
used.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kedge.core.compiled import Compiled
from kedge.core.planner.task import CostTable, cost_table

LEAST_RUNS = 3
RECENT = 32
LEVEL = math.log(1.2)
LEAVES_AT = 1.5
CLASSES_KEPT = 1_000
TABLES_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One mutation on one class of hardware, for people: durations in seconds.

    ``learned_s`` is what the planner counts with (0: too few runs, so the declared duration);
    ``median_s``, ``least_s`` and ``most_s`` are of the last `RECENT` of all ``runs``.
    """

    hardware_class: str
    mutation: str
    declared_s: int
    surcharge_s: int
    learned_s: int
    runs: int
    median_s: float
    least_s: float
    most_s: float


@dataclass(slots=True)
class _Runs:
    """The measurements of one mutation; ``level`` is the one in use, -1 for none yet."""

    runs: int = 0
    recent: deque[float] = field(default_factory=lambda: deque[float](maxlen=RECENT))
    level: int = -1


class Costs:
    """The measurements of all classes of hardware. ``version`` counts the changes of any table."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self.version = 0
        self.runs = 0
        declared = cost_table(compiled)
        self._known = {declared.learned: declared}
        self._declared = declared
        self._classes: dict[str, dict[int, _Runs]] = {}
        self._tables: dict[str, CostTable] = {}

    def table(self, hardware_class: str) -> CostTable:
        """The costs to plan with now."""
        return self._tables.get(hardware_class, self._declared)

    def measured(self, hardware_class: str, action: int, durations_s: Sequence[float]) -> None:
        """The mutation numbered ``action`` was done, once for each of ``durations_s`` (seconds)."""
        every = self._classes.get(hardware_class)
        if every is None:
            if len(self._classes) >= CLASSES_KEPT:
                oldest = next(iter(self._classes))
                del self._classes[oldest]
                self._tables.pop(oldest, None)
            every = self._classes[hardware_class] = {}
        known = every.setdefault(action, _Runs())
        known.runs += len(durations_s)
        self.runs += len(durations_s)
        stride = max(1, len(durations_s) // RECENT)
        known.recent.extend(map(float, durations_s[::stride]))
        if known.runs >= LEAST_RUNS and self._moves(known):
            self._renew(hardware_class)

    def _moves(self, known: _Runs) -> bool:
        """Take the level of the median where it is far from the one in use; whether it was."""
        exact = math.log(max(1.0, _median(known.recent))) / LEVEL
        if known.level >= 0 and abs(exact - known.level) < LEAVES_AT:
            return False
        known.level = math.floor(exact + 0.5)
        return True

    def _renew(self, hardware_class: str) -> None:
        learned = tuple(
            (action, _seconds(known.level))
            for action, known in sorted(self._classes[hardware_class].items())
            if known.level >= 0
        )
        if learned == self.table(hardware_class).learned:
            return
        table = self._known.get(learned)
        if table is None:
            if len(self._known) >= TABLES_KEPT:
                self._known = {self._declared.learned: self._declared}
            table = self._known[learned] = cost_table(self._compiled, learned)
        self._tables[hardware_class] = table
        self.version += 1

    def rows(self) -> list[Measured]:
        """All that was measured, by class of hardware and mutation."""
        actions = self._compiled.actions
        found: list[Measured] = []
        for hardware_class, every in sorted(self._classes.items()):
            for number, known in sorted(every.items()):
                mutation = actions[number].mutation
                if mutation is not None and known.recent:
                    found.append(
                        Measured(
                            hardware_class,
                            mutation.name,
                            mutation.cost_s,
                            mutation.surcharge_s,
                            _seconds(known.level) if known.level >= 0 else 0,
                            known.runs,
                            _median(known.recent),
                            min(known.recent),
                            max(known.recent),
                        )
                    )
        return found

    def export(self) -> dict[str, Any]:
        """As JSON, by class of hardware and name of the mutation."""
        return {
            hardware_class: {
                self._compiled.actions[number].name: {
                    "runs": known.runs,
                    "level": known.level,
                    "recent_s": [round(duration, 2) for duration in known.recent],
                }
                for number, known in sorted(every.items())
            }
            for hardware_class, every in self._classes.items()
        }

    def restore(self, exported: Mapping[str, Any]) -> None:
        """Take back what `export` gave; mutations that are gone are forgotten."""
        for hardware_class, every in exported.items():
            kept: dict[int, _Runs] = {}
            for name, written in every.items():
                action = self._compiled.mutation_actions.get(name)
                if action is not None:
                    recent = deque[float](written["recent_s"], maxlen=RECENT)
                    kept[action.number] = _Runs(written["runs"], recent, written["level"])
            self._classes[hardware_class] = kept
            self._renew(hardware_class)


def _seconds(level: int) -> int:
    return max(1, math.floor(math.exp(level * LEVEL) + 0.5))


def _median(durations: Sequence[float]) -> float:
    ordered = sorted(durations)
    return ordered[len(ordered) // 2]
