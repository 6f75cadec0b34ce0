"""What every store must do: keep intent by compare-and-swap, small records, and the event log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kedge.lib.errors import KedgeError, NotNow


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


class Note(NamedTuple):
    """What happened to something: one line of the log, but for the nodes and the moment."""

    what: str
    subject: str
    before: str = ""
    after: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What goes into the log at once: notes, in order, that hold for each of ``nodes``.

    No nodes: they speak of the cluster or the head. No node is named twice. ``at`` is in seconds
    since the epoch. ``seq`` is that of the first note and is given by the store (0 before that); the
    next note has the next one.
    """

    at: float
    nodes: tuple[str, ...]
    notes: tuple[Note, ...]
    seq: int = 0


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One line of the log as it is read: ``nodes`` is a folded nodeset, empty for the head itself."""

    at: float
    nodes: str
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


def unwritable(why: str, place: str) -> NotNow:
    """What cannot be written now, in the folder ``place``. Nobody else is to blame for it, so a step that
    needs it is tried again."""
    return NotNow(
        "store.failed", "the cluster database cannot be written", why=why,
        next_step=f"Make room on the head's disk: df -h {place}".rstrip(),
    )  # fmt: skip


class Store(Protocol):
    """A place that outlives the process. All calls are short; none may be lost once it returned. What
    cannot be written raises `KedgeError` (``store.failed``), and leaves all as it was."""

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

    def append(self, entries: Iterable[Entry]) -> int:
        """Append to the log, all or nothing; returns the last note's ``seq``."""
        ...

    def events(
        self, *, nodes: Iterable[str] = (), after: int = 0, limit: int = 100
    ) -> list[LoggedEvent]:
        """With ``after``, the first ``limit`` events behind it; without, the last ``limit``, oldest
        first. ``nodes`` restricts to these nodes (none: all): an event then names those of them that
        it speaks of, and no other."""
        ...

    def trim(self, before: float, most_bytes: int) -> bool:
        """Delete a bounded part of the log's oldest entries, if all of that part is from before the
        moment ``before`` or the log takes more than ``most_bytes``; False when there was nothing to
        delete. The newest entries stay, and a ``seq`` is never used again."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
