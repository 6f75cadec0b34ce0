"""How the API tells of the paths that nodes take."""

from __future__ import annotations

from msgspec import Struct

from kedge.shapes.site import ChangeRow


class BudgetRow(Struct):
    """A pool of a budget: of steps, or (``span``) of nodes out of service.

    ``users`` and ``waiting`` are nodesets; ``first`` are the first who wait, in order. Of a span,
    ``down`` are the users that are out of service by themselves. ``share`` is what the process that is
    asked may use now, where several owners draw from the pool (null: all of the limit).
    """

    budget: str
    pool: str
    span: bool
    limit: int
    used: int
    users: str
    down: str
    waiting: str
    waiting_count: int
    first: list[str]
    share: int | None = None


class CostRow(Struct):
    """A mutation on a class of hardware (empty: declared only): durations in seconds.

    ``learned_s`` is what plans count with (0: not measured often enough, so the declared one), and
    ``surcharge_s`` what is added to it; ``median_s``, ``least_s`` and ``most_s`` are of the last runs.
    """

    mutation: str
    hardware: str
    declared_s: int
    surcharge_s: int
    learned_s: int
    runs: int
    median_s: float
    least_s: float
    most_s: float


class PlanStep(Struct):
    """A step to come: what it is for (``why``), and the steps it comes ``after`` (by place). A
    ``disruptive`` one breaks something that is as configured."""

    mutation: str
    effects: dict[str, str]
    cost_s: int
    where: str
    after: list[int]
    why: str
    summary: str
    disruptive: bool = False


class QueueRow(Struct):
    """A place in the queue of a budget: ``ahead`` come first (of several nodes the least and the most),
    ``users`` are the first few who use it, ``blocker`` one of them that does not go on by itself. Without
    a ``step`` it is the place of nodes that would go out of service."""

    budget: str
    pool: str
    limit: int
    used: int
    ahead: int
    ahead_most: int
    step: str
    users: list[str]
    blocker: str


class PlanRow(Struct):
    """A node's path to what is configured; ``blocked_by`` where there is none. ``node`` is a nodeset
    where it was asked for folded rows."""

    node: str
    phase: str
    why: str
    waits: str
    steps: list[PlanStep]
    cost_s: int
    proven_cheapest: bool
    given_up: list[str]
    blocked_by: str
    running: list[str] = []
    queues: list[QueueRow] = []


class OutlookRow(Struct):
    """What a kind of nodes would do: ``cost_s`` is one node's way, and the last of them is there after
    ``there_s`` seconds (-1: never). ``disrupted``: they go out of service, the longest for ``out_s``
    seconds. ``assumed`` are variables of which nothing is known, and what they are taken to be."""

    nodes: str
    count: int
    steps: list[PlanStep]
    cost_s: int
    there_s: int
    disrupted: bool
    out_s: int
    returns: bool
    proven_cheapest: bool
    given_up: list[str]
    blocked_by: str
    assumed: dict[str, str]


class StandingRow(Struct):
    """Nodes that would take no step, and why (empty: they are where they should be)."""

    nodes: str
    count: int
    why: str


class LegRow(Struct):
    """A part of what the end waits for, from ``start_s`` to ``end_s``: moves of some nodes one after
    another, or, with a ``budget``, all that goes through its ``pool``, ``limit`` nodes at once."""

    start_s: int
    end_s: int
    moves: list[str]
    nodes: str
    count: int
    budget: str
    pool: str
    limit: int
    span: bool


class StuckRow(Struct):
    """Nodes that would wait for ever: a pool is used up by nodes that do not move."""

    nodes: str
    count: int
    budget: str
    pool: str


class ProspectRow(Struct):
    """What a change would lead to. ``duration_s`` is until the last node is there, as durations are
    known now and if nothing fails; ``critical`` says what that waits for; ``disrupted`` counts nodes."""

    moving: list[OutlookRow]
    still: list[StandingRow]
    blocked: list[StandingRow]
    held: list[StandingRow]
    quarantined: list[StandingRow]
    stuck: list[StuckRow]
    moving_count: int
    disrupted: int
    duration_s: int
    critical: list[LegRow]


class Preview(Struct):
    """A dry run: what would change, and what the ``nodes`` that it concerns would do."""

    nodes: str
    changes: list[ChangeRow]
    prospect: ProspectRow
