"""Gathering what happens within a moment, so that what many nodes do alike is one entry of the log."""

from __future__ import annotations

from itertools import repeat

from kedge.stores.port import Entry, Note

Notes = tuple[Note, ...]

NEVER = -1


class Gathering:
    """Nodes that do the same within a moment share an entry, which has the moment of the first.

    What one node does stays in its order: it joins an entry only if it stands in no later one. What is
    said of no node stays in its place among all others.
    """

    def __init__(self) -> None:
        self._at: list[float] = []
        self._nodes: list[list[str]] = []
        self._notes: list[Notes] = []
        self._open: dict[Notes, int] = {}
        self._last: dict[str, int] = {}
        self.mentions = 0

    def __bool__(self) -> bool:
        return bool(self._notes)

    def add(self, at: float, nodes: tuple[str, ...], notes: Notes) -> None:
        """Add notes that hold for each of ``nodes`` (none of them twice)."""
        self.mentions += len(nodes) or 1
        place = self._open.get(notes) if nodes else None
        if place is None or place <= max(map(self._last.get, nodes, repeat(NEVER))):
            place = len(self._notes)
            self._at.append(at)
            self._nodes.append([])
            self._notes.append(notes)
            if nodes:
                self._open[notes] = place
            else:
                self._open.clear()
        self._nodes[place].extend(nodes)
        self._last.update(zip(nodes, repeat(place)))

    def take(self) -> list[Entry]:
        """All that was gathered, as entries without ``seq``; begins anew."""
        found = [
            Entry(at, tuple(nodes), notes)
            for at, nodes, notes in zip(self._at, self._nodes, self._notes, strict=True)
        ]
        self.__init__()
        return found
