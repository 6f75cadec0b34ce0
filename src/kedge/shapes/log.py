"""How the API tells of what happened."""

from __future__ import annotations

from msgspec import Struct


class EventRow(Struct):
    """One event of the append-only log."""

    seq: int
    at: float
    node: str
    what: str
    subject: str
    before: str = ""
    after: str = ""
    cause: str = ""
