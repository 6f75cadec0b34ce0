"""How the API tells of what happened."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class LinkRow(Struct):
    """Something that happened to a node: its number in the log, and the number of what it follows
    from (0: nothing that is known). A ``step`` lasted until ``until`` (0: it runs)."""

    seq: int
    at: float
    kind: Literal["person", "seen", "step", "limit", "rest"]
    words: str
    why: str
    because: int
    until: float


class WhyRow(Struct):
    """What a node does, and the ``chain`` of what led to it, oldest first."""

    node: str
    phase: str
    since: float
    why: str
    next: str
    chain: list[LinkRow]


class EventRow(Struct):
    """One event of the append-only log. ``nodes`` is a nodeset, empty for what concerns the head
    itself; ``node`` is the name where it is one node."""

    seq: int
    at: float
    nodes: str
    what: str
    subject: str
    before: str = ""
    after: str = ""
    cause: str = ""
    node: str = ""
