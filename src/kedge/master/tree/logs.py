"""The log of a sub-master, passed on to the master's: what it did to its nodes, and why.

The newest lines lie in a ring of entries of the discovered record. The record converges whatever is lost on
the way; a master that is away for longer than the ring holds lacks lines, which stay on the sub-master.
What was observed is not passed on: the master sees that by itself, in the owners' views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from kedge.master.persistence.journal import Journal
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.tree.entries import LOG, pack
from kedge.stores.port import Entry, Note

KIND = "submaster_log"
SLOTS = 64
A_SLOT = 500
LOCAL = frozenset({"observed", "goal", "master", "service", "submaster", "owner"})
"""Lines that the other end writes itself, or that speak of this process alone."""


class LogUp:
    """At a sub-master: puts lines into the ring."""

    def __init__(self) -> None:
        self._slot = 0

    def entries(self, said: Iterable[Entry]) -> dict[str, bytes]:
        """What the record gains by these lines of the log."""
        lines: list[object] = []
        for entry in said:
            notes = [
                [entry.seq + place, *note]
                for place, note in enumerate(entry.notes)
                if note.what not in LOCAL
            ]
            if notes and entry.nodes:
                lines.append([entry.at, list(entry.nodes), notes])
        found: dict[str, bytes] = {}
        for first in range(0, len(lines), A_SLOT):
            found[f"{LOG}{self._slot:02}"] = pack(lines[first : first + A_SLOT])
            self._slot = (self._slot + 1) % SLOTS
        return found


Line = tuple[float, list[str], list[tuple[int, str, str, str, str, str]]]


class LogDown:
    """At the master: takes the lines that are new, each once, whatever comes twice."""

    def __init__(self, journal: Journal, writes: LateWrites) -> None:
        self._journal, self._writes = journal, writes
        self._last = {name: int(r["seq"]) for name, r in writes.records(KIND).items()}

    def begin_anew(self, name: str) -> None:
        """Another process has taken the name, and numbers its lines from the beginning."""
        if self._last.pop(name, None) is not None:
            self._writes.put(KIND, name, None)

    def take(self, name: str, slots: Iterable[object], may: Callable[[str], bool]) -> None:
        """Append what slots of ``name``'s ring say of nodes that it ``may`` speak of."""
        last = newest = self._last.get(name, 0)
        for at, nodes, notes in sorted(_lines(slots), key=lambda line: line[2][0][0]):
            fresh = tuple(Note(*words) for seq, *words in notes if seq > last)
            newest = max([newest, *(seq for seq, *_ in notes)])
            known = tuple(node for node in dict.fromkeys(nodes) if may(node))
            if fresh and known:
                self._journal.relay(at, known, fresh)
        if newest > last:
            self._last[name] = newest
            self._writes.put(KIND, name, {"seq": newest})


def _lines(slots: Iterable[object]) -> list[Line]:
    found: list[Line] = []
    for written in slots:
        try:
            found += msgspec.convert(written, list[Line])
        except msgspec.ValidationError:
            continue
    return [line for line in found if line[2]]
