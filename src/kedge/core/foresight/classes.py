"""What is laid out in time: classes of nodes that take the same steps through the same pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kedge.core.engine.budgets import Pool


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
    takes: tuple[Pool, ...] = ()
    breaking: bool = False
    begun: bool = False


@dataclass(frozen=True, slots=True)
class NodeClass:
    """Nodes that are interchangeable: the same moves, through the same pools. None of either is empty."""

    nodes: tuple[str, ...]
    moves: tuple[Move, ...]


Limits = Mapping[Pool, int]
"""How many units each pool has; one that is not named, or has 0, has no limit."""


@dataclass(frozen=True, slots=True)
class Stay:
    """One or more moves of the same name that begin together: ``count`` nodes of the class numbered
    ``owner`` from place ``first`` on, from ``start_s`` to ``end_s``.

    ``ready_s`` is when it could have begun but for the budgets. What it waited for last is ``cause``
    (None: nothing): an earlier move of the same node, or, with ``through`` a pool, the holder who gave
    back the unit.
    """

    owner: int
    place: int
    first: int
    count: int
    ready_s: int
    start_s: int
    end_s: int
    cause: Stay | None
    through: Pool | None


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
class Schedule:
    """All stays in order of their beginning, and how each node fared. Times are seconds from now."""

    classes: tuple[NodeClass, ...]
    limits: Limits
    stays: tuple[Stay, ...]
    passages: tuple[Passage, ...]
