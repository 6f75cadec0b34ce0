"""Reading the event log: the last lines or those behind a place, of all nodes or of some."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from kedge.lib.nodeset import fold
from kedge.stores.log import BLOCK_BITS, OFFSET_BITS, WIDE_BLOCK, EventLog
from kedge.stores.packing import U32, Numbers, among, unpack
from kedge.stores.port import LoggedEvent, Note

Row = tuple[int, float, bytes, str]
"""An entry as it is stored: first seq, moment, nodes, and its notes as JSON."""

COLUMNS = "seq, at, nodes, notes FROM entry JOIN story ON story.id = entry.story"
AT_ONCE = 200

_notes = msgspec.json.Decoder(tuple[Note, ...])


class Reading:
    """One question to the log."""

    def __init__(self, db: sqlite3.Connection, log: EventLog, nodes: Iterable[str]) -> None:
        self._db = db
        self._log = log
        names = list(nodes)
        self._all = not names
        known = sorted({log.numbers[name] for name in names if name in log.numbers})
        self._wanted = np.array(known, U32)
        self._folded: dict[bytes, str] = {}

    def last(self, limit: int) -> list[LoggedEvent]:
        """The last ``limit`` lines, oldest first."""
        found: list[LoggedEvent] = []
        for row in self._rows(0, "DESC", limit):
            found.extend(reversed(self._lines(row)))
            if len(found) >= limit:
                break
        return found[:limit][::-1]

    def behind(self, after: int, limit: int) -> list[LoggedEvent]:
        """The first ``limit`` lines behind ``after``."""
        (first,) = self._db.execute(
            "SELECT coalesce(max(seq), 0) FROM entry WHERE seq <= ?", (after,)
        ).fetchone()
        found: list[LoggedEvent] = []
        for row in self._rows(first, "ASC", limit + 1):
            found.extend(line for line in self._lines(row) if line.seq > after)
            if len(found) >= limit:
                break
        return found[:limit]

    def _lines(self, row: Row) -> list[LoggedEvent]:
        seq, at, packed, story = row
        if self._all:
            nodes = self._fold(packed, None)
        else:
            numbers = among(packed, self._wanted)
            if not len(numbers):
                return []
            nodes = self._fold(numbers.tobytes(), numbers)
        notes = _notes.decode(story)
        return [LoggedEvent(at, nodes, *note, seq) for seq, note in enumerate(notes, seq)]

    def _fold(self, key: bytes, numbers: Numbers | None) -> str:
        known = self._folded.get(key)
        if known is None:
            names = self._log.names
            chosen: list[int] = (unpack(key) if numbers is None else numbers).tolist()
            known = self._folded[key] = fold([names[number] for number in chosen])
        return known

    # --- finding entries -----------------------------------------------------------------------

    def _rows(self, first: int, order: str, most: int) -> Iterator[Row]:
        """Entries from ``first`` on in this order; without nodes ``most`` are enough."""
        if self._all:
            yield from self._db.execute(
                f"SELECT {COLUMNS} WHERE seq >= ? ORDER BY seq {order} LIMIT ?", (first, most)
            )
            return
        if not len(self._wanted):
            return
        if order == "DESC":
            yield from self._unclosed(first, order)
        chapters = self._db.execute(
            f"SELECT id, first_seq FROM chapter WHERE end_seq > ? ORDER BY id {order}", (first,)
        ).fetchall()
        for chapter, first_seq in chapters:
            seqs = [seq for seq in self._mentions(chapter, first_seq) if seq >= first]
            yield from self._named(seqs if order == "ASC" else seqs[::-1], order)
        if order == "ASC":
            yield from self._unclosed(first, order)

    def _unclosed(self, first: int, order: str) -> Iterator[Row]:
        yield from self._db.execute(
            f"SELECT {COLUMNS} WHERE seq >= ? ORDER BY seq {order}",
            (max(first, self._log.first_open),),
        )

    def _named(self, seqs: Sequence[int], order: str) -> Iterator[Row]:
        for begin in range(0, len(seqs), AT_ONCE):
            yield from self._db.execute(
                f"SELECT {COLUMNS} WHERE seq IN (SELECT value FROM json_each(?))"
                f" ORDER BY seq {order}", (json.dumps(seqs[begin : begin + AT_ONCE]),)
            )  # fmt: skip

    def _mentions(self, chapter: int, first_seq: int) -> list[int]:
        """The entries of a chapter that may speak of the wanted nodes, ascending."""
        blocks = [WIDE_BLOCK, *np.unique(self._wanted >> BLOCK_BITS).tolist()]
        postings = self._db.execute(
            "SELECT block, entries FROM posting WHERE chapter = ?"
            " AND block IN (SELECT value FROM json_each(?))", (chapter, json.dumps(blocks))
        )  # fmt: skip
        found: list[Numbers] = []
        for block, entries in postings:
            words = np.frombuffer(entries, U32)
            if block != WIDE_BLOCK:
                inside = self._wanted[self._wanted >> BLOCK_BITS == block]
                wanted = np.zeros(1 << BLOCK_BITS, np.bool_)
                wanted[inside & ((1 << BLOCK_BITS) - 1)] = True
                words = words[wanted[words >> OFFSET_BITS]] & np.uint32((1 << OFFSET_BITS) - 1)
            found.append(words)
        if not found:
            return []
        return (np.unique(np.concatenate(found)).astype(np.int64) + first_seq).tolist()
