"""How the API tells of the site, its changes, and what can be configured."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class ChangeRow(Struct):
    """One field of one thing that changes; ``varied`` counts the values behind a folded row."""

    kind: str
    name: str
    change: str
    field: str
    before: Any
    after: Any
    origin: str
    varied: int


class VariableRow(Struct):
    """A declared variable."""

    name: str
    configured: bool
    valid: str = ""
    summary: str = ""
