"""What a row of the API's table is: an operation with its path, what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedge.shapes import asking

if TYPE_CHECKING:
    from kedge.master.operations.operations import Operations


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request: ``by`` is who asks, for the log."""

    by: str
    path: Mapping[str, str]
    query: Any
    body: Any


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. ``call`` gives the answer or an awaitable of it."""

    method: str
    path: str
    name: str
    summary: str
    answer: Any
    call: Callable[[Operations, Asked], Any]
    query: type = asking.NoQuery
    body: type | None = None
    text: bool = False
    most_bytes: int = 4_000_000


SITE_BYTES = 64_000_000

Rows = list[dict[str, Any]]
