"""How the API tells of the paths that nodes take."""

from __future__ import annotations

from msgspec import Struct


class BudgetRow(Struct):
    """A pool of a budget: of steps, or (``span``) of nodes out of service.

    ``users`` and ``waiting`` are nodesets; ``first`` are the first who wait, in order. Of a span,
    ``down`` are the users that are out of service by themselves.
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
    """A step to come: what it is for (``why``), and the steps it comes ``after`` (by place)."""

    mutation: str
    effects: dict[str, str]
    cost_s: int
    where: str
    after: list[int]
    why: str
    summary: str


class PlanRow(Struct):
    """A node's path to what is configured; ``blocked_by`` where there is none."""

    node: str
    phase: str
    why: str
    waits: str
    steps: list[PlanStep]
    cost_s: int
    proven_cheapest: bool
    given_up: list[str]
    blocked_by: str
