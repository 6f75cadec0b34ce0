"""What a change would lead to, for all nodes that it concerns: courses, and when they would be there.

Nodes that agree in all that decides are one class, so the work grows with the classes. The nodes that
are under way for other reasons are part of the schedule, as they use the same pools.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kedge.core.action import UNKNOWN_VALUE, State
from kedge.core.engine.budgets import Pool, Pools
from kedge.core.engine.common import Common
from kedge.core.engine.course import Course, as_new, course
from kedge.core.engine.failing import penalties
from kedge.core.engine.lanes import moves, serves, spent, under_way
from kedge.core.engine.record import Record
from kedge.core.foresight.classes import Limits, NodeClass, Schedule
from kedge.core.foresight.schedule import schedule
from kedge.core.planner.task import Goals, Penalties


@dataclass(frozen=True, slots=True)
class Would:
    """A node as it would be configured, with its pools.

    ``first`` are goals of a request to pass through. ``seen`` are symbols that the change itself makes
    of what is discovered. ``forgives``: failures and a quarantine end, as a person changed something.
    """

    node: str
    goals: Mapping[str, str]
    seen: Mapping[str, str] = field(default_factory=dict[str, str])
    first: Mapping[str, str] = field(default_factory=dict[str, str])
    hold: str = ""
    hardware_class: str = ""
    limits: Pools = ()
    spans: Pools = ()
    forgives: bool = True


@dataclass(frozen=True, slots=True)
class Outlook:
    """A class of nodes with its course.

    ``taken`` are variables that nothing is known of, and what they are taken to be. ``served``: the
    nodes are in service now; ``returns``: they are when the course is over.
    """

    nodes: tuple[str, ...]
    course: Course
    taken: Mapping[str, str]
    served: bool
    returns: bool

    @property
    def disrupted(self) -> bool:
        """Whether the nodes go out of service."""
        return self.served and any(step.breaking for step in self.course.steps)


@dataclass(frozen=True, slots=True)
class Prospect:
    """What would happen. The last classes of the schedule are the ``moving``, place by place, behind
    those that are under way already; ``still`` are those whose course has no steps; ``held`` and
    ``quarantined`` stay so, by reason."""

    moving: tuple[Outlook, ...]
    still: tuple[Outlook, ...]
    held: Mapping[str, list[str]]
    quarantined: Mapping[str, list[str]]
    schedule: Schedule

    @property
    def owners(self) -> range:
        """The numbers of the ``moving`` among the classes of the schedule."""
        every = len(self.schedule.classes)
        return range(every - len(self.moving), every)


def foresee(
    common: Common, woulds: Iterable[Would], limits: Mapping[Pool, int], spans: Mapping[Pool, int]
) -> Prospect:
    """What the nodes of ``woulds`` would do within these limits; changes nothing."""
    classes, held, quarantined = _Classes(common), dict[str, list[str]](), dict[str, list[str]]()
    asked: set[str] = set()
    for would in woulds:
        asked.add(would.node)
        record = common.look(would.node)
        if would.hold:
            held.setdefault(would.hold, []).append(would.node)
        elif record is not None and record.quarantine and not would.forgives:
            quarantined.setdefault(record.quarantine.reason, []).append(would.node)
        else:
            classes.add(would, record)
    moving: list[Outlook] = []
    still: list[Outlook] = []
    lanes: list[NodeClass] = []
    for outlook, lane in classes.outlooks():
        if lane is None:
            still.append(outlook)
        else:
            moving.append(outlook)
            lanes.append(lane)
    lanes[:0] = under_way(common, asked)
    flying = {name for lane in lanes for name in lane.nodes}
    plan = schedule(lanes, Limits(limits, spans, spent(common, flying)))
    return Prospect(tuple(moving), tuple(still), held, quarantined, plan)


@dataclass(slots=True)
class _Class:
    """Nodes that agree in all that decides: the first of them, and the names of all."""

    would: Would
    record: Record | None
    goals: Goals
    nodes: list[str] = field(default_factory=list[str])


class _Classes:
    """The nodes that may move, by class."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._classes: dict[object, _Class] = {}
        self._assigned: dict[tuple[tuple[str, str], ...], Goals] = {}

    def add(self, would: Would, record: Record | None) -> None:
        """Put a node into its class."""
        goals = self._assignment(would.goals)
        own: object = None
        if record is not None:
            now = self._common.now
            flying = tuple((r.action.number, math.ceil(now - r.since)) for r in record.running)
            own = (record.state, record.goals, flying, _held_against(would, record))
        key = (
            own, goals, tuple(would.first.items()), tuple(would.seen.items()),
            would.hardware_class, would.limits, would.spans,
        )  # fmt: skip
        self._classes.setdefault(key, _Class(would, record, goals)).nodes.append(would.node)

    def outlooks(self) -> Iterable[tuple[Outlook, NodeClass | None]]:
        """Every class with its course, and what is to be laid out of it."""
        return map(self._outlook, self._classes.values())

    def _assignment(self, goals: Mapping[str, str]) -> Goals:
        key = tuple(goals.items())
        known = self._assigned.get(key)
        if known is None:
            wanted = self._common.graph.meaningful(goals)
            known = self._assigned[key] = self._common.compiled.assignment(wanted)
        return known

    def _outlook(self, each: _Class) -> tuple[Outlook, NodeClass | None]:
        common, would, record, goals = self._common, each.would, each.record, each.goals
        if record is None:
            start, taken = as_new(common, common.compiled.nothing_known)
        else:
            start, taken = self._seeing(record.state, would.seen)
        turns = [goals]
        if would.first:
            turns.insert(0, self._assignment({**would.goals, **would.first}))
        costs = common.costs.table(would.hardware_class)
        found = course(common, start, turns, _held_against(would, record), costs)
        served = record is not None and serves(common, record.goals, record.state) is True
        returns = serves(common, goals, found.end) is True
        outlook = Outlook(tuple(each.nodes), found, taken, served, returns)
        if not found.steps:
            return outlook, None
        running = record.running if record is not None else ()
        laid = moves(common, found.steps, found.actions, would.limits, running)
        serving = serves(common, goals, start)
        down = serving is False or (record is not None and record.span is not None)
        return outlook, NodeClass(
            outlook.nodes, laid, would.spans if serving is not None else (), down
        )

    def _seeing(self, state: State, seen: Mapping[str, str]) -> tuple[State, dict[str, str]]:
        """The state with what the change makes of it. What becomes unknown is taken to be as new, as
        it is likelier that there is something to do."""
        compiled = self._common.compiled
        changed, taken = list(state), dict[str, str]()
        for variable, value in compiled.assignment(seen):
            changed[variable] = value
            if value == UNKNOWN_VALUE:
                changed[variable] = compiled.initial[variable] or UNKNOWN_VALUE + 1
                taken[compiled.name(variable)] = compiled.symbol(variable, changed[variable])
        return tuple(compiled.normalise(changed)), taken


def _held_against(would: Would, record: Record | None) -> Penalties:
    if would.forgives or record is None or record.episode is None:
        return ()
    return penalties(record.episode)
