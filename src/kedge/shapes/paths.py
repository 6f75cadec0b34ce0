"""How the API tells of the paths that nodes take."""

from __future__ import annotations

from msgspec import Struct


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
