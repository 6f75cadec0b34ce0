"""What is laid out in time: classes of nodes that take the same steps through the same pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.events import Pool, Pools


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a class: ``duration_s`` seconds (at least 1), after the moves in the mask ``before``.

    ``takes`` is one unit each of these pools while it lasts. A ``breaking`` move takes a node out of
    service, until its last move is over. One that is under way already (``begun``) holds its units from
    the start; its duration is what is left of it.
    """

    name: str
    duration_s: int
    before: int = 0
    takes: Pools = ()
    breaking: bool = False
    begun: bool = False


@dataclass(frozen=True, slots=True)
class NodeClass:
    """Nodes that are interchangeable: the same moves, through the same pools. None of either is empty.

    ``spans`` are the pools that a node draws from while it is out of service. One that is out of it
    already (``counted``) uses them from the start and waits for none.
    """

    nodes: tuple[str, ...]
    moves: tuple[Move, ...]
    spans: Pools = ()
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How many units each pool has, for ``steps`` and for ``spans``; one that is not named, or has 0, has
    no limit. ``spent`` units of spans are used by nodes that do not move, and do not come back."""

    steps: Mapping[Pool, int] = field(default_factory=dict[Pool, int])
    spans: Mapping[Pool, int] = field(default_factory=dict[Pool, int])
    spent: Mapping[Pool, int] = field(default_factory=dict[Pool, int])


@dataclass(frozen=True, slots=True)
class Stay:
    """A move of ``count`` nodes that begin together: those of class ``owner`` from place ``first`` on,
    from ``start_s`` to ``end_s``.

    ``ready_s`` is when it could have begun but for the budgets. What it waited for last is ``cause``
    (None: nothing): an earlier move of the same node, or, with ``through`` a pool (``span``: one of
    spans), the last move of a node that gave back a unit. ``down_s`` is since when the nodes have been
    out of service by their breaking moves (-1: they are not).
    """

    owner: int
    place: int
    first: int
    count: int
    ready_s: int
    start_s: int
    end_s: int
    cause: Stay | None
    through: Pool | None = None
    span: bool = False
    down_s: int = -1


@dataclass(frozen=True, slots=True)
class Passage:
    """How nodes ``first`` to ``first + count`` of the class ``owner`` fared: their last move ended at
    ``end_s``, the first breaking one began at ``down_s`` (-1: none does)."""

    owner: int
    first: int
    count: int
    end_s: int
    down_s: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """Nodes that wait for ever: all units of the pool are used by nodes that do not move."""

    owner: int
    first: int
    count: int
    pool: Pool


@dataclass(frozen=True, slots=True)
class Schedule:
    """All stays in order of their beginning, and how each node fared. Times are seconds from now."""

    classes: tuple[NodeClass, ...]
    limits: Limits
    stays: tuple[Stay, ...]
    passages: tuple[Passage, ...]
    stuck: tuple[Stuck, ...]
