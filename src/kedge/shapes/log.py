"""How the API tells of what happened."""

from __future__ import annotations

from msgspec import Struct


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
