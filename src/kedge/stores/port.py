"""What every store must do: keep intent by compare-and-swap, small records, and the event log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kedge.lib.errors import KedgeError


@dataclass(frozen=True, slots=True)
class Intent:
    """What people asked for: the site's files, values set and holds put by command.

    ``overrides[node][variable]`` and ``holds[node]`` are mappings with ``value``/``reason``, ``by``
    and ``at``. ``revision`` counts the committed changes.
    """

    revision: int = 0
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    holds: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One line of the append-only log. ``seq`` is given by the store (0 before that)."""

    at: float
    node: str
    what: str
    subject: str
    before: str = ""
    after: str = ""
    cause: str = ""
    seq: int = 0


class Conflict(KedgeError):
    """Somebody else committed first."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            "store.conflict",
            f"the site changed while you worked: you saw revision {expected}, it is at {found}",
            next_step="Look at it again with: kedge diff",
        )


class Store(Protocol):
    """A place that outlives the process. All calls are short; none may be lost once it returned."""

    def intent(self) -> Intent:
        """The last committed intent (revision 0 and empty at first)."""
        ...

    def commit(self, intent: Intent, expected_revision: int) -> Intent:
        """Replace the intent in one transaction; raises `Conflict`; returns it as committed."""
        ...

    def put(self, kind: str, key: str, record: Mapping[str, Any] | None) -> None:
        """Set one small record (None: remove it)."""
        ...

    def records(self, kind: str) -> dict[str, dict[str, Any]]:
        """All records of a kind, by key."""
        ...

    def append(self, events: Iterable[LoggedEvent]) -> int:
        """Append to the log; returns the last event's ``seq``."""
        ...

    def events(
        self, *, nodes: Iterable[str] = (), after: int = 0, limit: int = 100
    ) -> list[LoggedEvent]:
        """With ``after``, the first ``limit`` events behind it; without, the last ``limit``, oldest
        first. ``nodes`` restricts to these nodes (none: all)."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
