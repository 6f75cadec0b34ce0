"""A cell: all that decides what happens next to a node, shared by the nodes in that situation.

Most nodes are *plain*: nothing is held against them, and what they do is what many others do. A plain
node's record folds into the number of a cell and a few times and step numbers of its own (its row in
`Columns`), and unfolds from them again. What makes a node particular (failures, a quarantine, a
request, a place in a queue, surprises not yet forgotten) does not fold: it stays a `Record`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from kedge.core.action import Action, State
from kedge.core.condition import Phase
from kedge.core.engine.record import Episode, Record
from kedge.core.events import Pools
from kedge.core.planner.order import Plan
from kedge.core.planner.task import CostTable, Goals, Penalties

Began = tuple[Action, int, State]
"""A step in flight without its times: the action, its place in the plan, the state it began in."""


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """The part of an `Episode` that nodes share."""

    costs: CostTable
    plan: Plan | None
    done: int
    running: tuple[Began, ...]
    shown_plan: str
    planned_for: tuple[Goals, Penalties]
    starts: tuple[tuple[int, int], ...]
    waits: str
    waits_next: str
    new_goals: bool

    @property
    def key(self) -> Hashable:
        """Equal for equal errands; plans are told apart by identity, as nodes share them."""
        running = tuple((action.number, place, start) for action, place, start in self.running)
        return (
            self.costs, id(self.plan), self.done, running, self.shown_plan, self.planned_for, self.starts,
            self.waits, self.waits_next, self.new_goals,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One situation. Its *slots* are what has a time: the steps in flight, then what is asked."""

    seen: State
    state: State
    goals: Goals
    group: str
    hardware_class: str
    limits: Pools
    spans: Pools
    hold: str
    elsewhere: str
    phase: Phase
    why: str
    next_step: str
    pardoned: bool
    asking: tuple[int, ...]
    errand: Errand | None

    @property
    def key(self) -> Hashable:
        """Equal for equal situations."""
        return (
            self.seen, self.state, self.goals, self.group, self.hardware_class, self.limits, self.spans,
            self.hold, self.elsewhere, self.phase, self.why, self.next_step, self.pardoned, self.asking,
            self.errand and self.errand.key,
        )  # fmt: skip

    @property
    def running(self) -> tuple[Began, ...]:
        """The steps in flight."""
        return self.errand.running if self.errand else ()

    @property
    def slots(self) -> int:
        """How many times a node of this cell keeps."""
        return len(self.running) + len(self.asking)

    @property
    def differs(self) -> bool:
        """Whether the configured goals are not what is discovered."""
        return any(self.state[variable] != value for variable, value in self.goals)


def folds(record: Record) -> bool:
    """Whether the node is plain. Its ``surprises`` must have been refilled by the caller."""
    episode = record.episode
    if record.quarantine or record.requests or record.deaf or record.lost or record.span:
        return False
    return episode is None or not (
        episode.failures or episode.assumed or episode.queued or episode.spoiled
    )


def cell_of(record: Record) -> Cell:
    """The cell of a plain node."""
    episode = record.episode
    return Cell(
        record.seen, record.state, record.goals, record.group, record.hardware_class,
        record.limits, record.spans, record.hold, record.elsewhere, record.phase, record.why,
        record.next_step, record.pardoned, tuple(record.asking or ()),
        None if episode is None else _errand(episode),
    )  # fmt: skip


def _errand(episode: Episode) -> Errand:
    return Errand(
        episode.costs, episode.plan, episode.done,
        tuple((r.action, r.place, r.start) for r in episode.running), episode.shown_plan,
        episode.planned_for, tuple(sorted(episode.starts.items())), episode.waits,
        episode.waits_next, episode.new_goals,
    )  # fmt: skip
