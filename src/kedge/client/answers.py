"""What the API answers, as far as a client needs it; keys of later versions are ignored."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

PHASES = ("converged", "moving", "waiting", "held", "blocked", "quarantined")
"""Every phase that a node may be in."""

SETTLED = ("held", "blocked", "quarantined")
"""Phases in which a node stays until a person does something."""


class About(Struct):
    """The master itself."""

    version: str
    cluster: str
    revision: int
    nodes: int
    started: float
    degraded: dict[str, str]
    strangers: int


class NodeStatus(Struct):
    """One node: which phase, since when, why, and what is next."""

    node: str
    phase: str
    since: float
    why: str = ""
    next: str = ""
    power: str = "unknown"
    stage: str = "unknown"
    image: Any = None
    step: str = ""
    progress: dict[str, Any] | None = None
    hold: str = ""
    symbols: dict[str, str] = field(default_factory=dict[str, str])
    goals: dict[str, str] = field(default_factory=dict[str, str])
    failures: dict[str, str] = field(default_factory=dict[str, str])


class Event(Struct):
    """One line of the log."""

    seq: int
    at: float
    node: str
    what: str
    subject: str
    before: str = ""
    after: str = ""
    cause: str = ""


class VariableRow(Struct):
    """A declared variable."""

    name: str
    configured: bool
    valid: str = ""
    summary: str = ""


class Message(Struct):
    """Something from the event stream; ``seq`` is above 0 for lines of the log."""

    topic: str
    content: dict[str, Any]
    seq: int = 0
