"""The append-only event log in SQLite: entries that speak of many nodes at once, in chapters.

An entry is one row: its first ``seq``, the moment, its *story* (its notes, kept once for all entries
of a chapter that say the same) and its nodes as a packed set of small numbers. So what a thousand
nodes do together costs one row, and nothing is written at scattered places.

Entries are found by node through chapters: when the open chapter has grown, it is closed with an
index that is written in one go. For each block of 256 nodes there is one posting, in which a word of
32 bits (the node's place in its block, the entry's distance from the chapter's beginning) stands for
each mention. Entries of more than `WIDE` nodes are not indexed but listed, as there are few. The open
chapter is read as a whole.

Old chapters are deleted whole, one in a transaction, with the stories that began in them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import pairwise

import msgspec
import numpy as np

from kedge.stores.packing import U32, Numbers, pack, pack_one, unpack
from kedge.stores.port import Entry, Note

SCHEMA = """
CREATE TABLE log (
    id INTEGER PRIMARY KEY CHECK (id = 1), next_seq INTEGER NOT NULL, next_story INTEGER NOT NULL
);
INSERT INTO log VALUES (1, 1, 1);
CREATE TABLE node_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE story (id INTEGER PRIMARY KEY, notes TEXT NOT NULL);
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, story INTEGER NOT NULL, nodes BLOB NOT NULL
);
CREATE TABLE chapter (
    id INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, end_seq INTEGER NOT NULL,
    end_story INTEGER NOT NULL, last_at REAL NOT NULL, size_bytes INTEGER NOT NULL
);
CREATE TABLE posting (
    block INTEGER NOT NULL, chapter INTEGER NOT NULL, entries BLOB NOT NULL,
    PRIMARY KEY (block, chapter)
) WITHOUT ROWID;
"""

WIDE = 1000
WIDE_BLOCK = -1
BLOCK_BITS = 8
OFFSET_BITS = 24
CHAPTER_ENTRIES = 4096
CHAPTER_MENTIONS = 65_536
CHAPTER_BYTES = 4_000_000
CHAPTER_SEQS = 1 << 22
ROW_BYTES = 24
"""About what SQLite adds to a row."""


class EventLog:
    """Writes the log's tables. One transaction of the caller's connection at a time."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}
        self._next_seq = self._next_story = 0
        self.load()

    def load(self) -> None:
        """Read what is kept in memory anew; also after a transaction that failed."""
        db = self._db
        self.names = [name for (name,) in db.execute("SELECT name FROM node_name ORDER BY id")]
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self._next_seq, self._next_story = self._counters()
        (end,) = db.execute("SELECT max(end_seq) FROM chapter").fetchone()
        self._open_chapter(end or 1)
        unclosed = db.execute(
            "SELECT seq, nodes, length(notes) FROM entry JOIN story ON story.id = entry.story"
            " WHERE seq >= ? ORDER BY seq", (self.first_open,)
        )  # fmt: skip
        for seq, nodes, story_bytes in unclosed:
            self._count(seq, nodes, len(unpack(nodes)))
            self._size_bytes += story_bytes

    def _counters(self) -> tuple[int, int]:
        return self._db.execute("SELECT next_seq, next_story FROM log").fetchone()

    def _open_chapter(self, first_seq: int) -> None:
        self.first_open = first_seq
        self._stories: dict[tuple[Note, ...], int] = {}
        self._entries = self._mentions = self._size_bytes = 0

    # --- writing -------------------------------------------------------------------------------

    def append(self, entries: Iterable[Entry]) -> int:
        """Append within the caller's transaction; returns the last ``seq``. An entry that brings a
        ``seq`` of its own keeps it, if it is a new one."""
        if self._counters() != (self._next_seq, self._next_story):
            self.load()  # another process wrote
        rows: list[tuple[int, float, int, bytes]] = []
        stories: list[tuple[int, str]] = []
        for entry in entries:
            if not entry.notes:
                continue
            story = self._stories.get(entry.notes)
            if story is None:
                story = self._stories[entry.notes] = self._next_story
                self._next_story += 1
                text = _text(entry.notes)
                stories.append((story, text))
                self._size_bytes += len(text) + ROW_BYTES
            seq = max(entry.seq, self._next_seq)
            self._next_seq = seq + len(entry.notes)
            nodes = self._packed(entry.nodes)
            rows.append((seq, entry.at, story, nodes))
            self._count(seq, nodes, len(entry.nodes))
            if self._is_full():
                self._write(rows, stories)
                self._close_chapter()
                rows, stories = [], []
        self._write(rows, stories)
        return self._next_seq - 1

    def _packed(self, nodes: tuple[str, ...]) -> bytes:
        try:
            if len(nodes) == 1:
                return pack_one(self.numbers[nodes[0]])
            found = np.fromiter(map(self.numbers.__getitem__, nodes), U32, len(nodes))
        except KeyError:
            self._learn(nodes)
            return self._packed(nodes)
        return pack(found)

    def _learn(self, nodes: tuple[str, ...]) -> None:
        fresh = [name for name in nodes if name not in self.numbers]
        begin = len(self.names)
        self._db.executemany("INSERT INTO node_name VALUES (?, ?)", enumerate(fresh, begin))
        self.numbers.update(zip(fresh, range(begin, begin + len(fresh)), strict=True))
        self.names.extend(fresh)

    def _count(self, seq: int, nodes: bytes, mentions: int) -> None:
        if not self._entries:
            self.first_open = seq
        self._entries += 1
        self._size_bytes += len(nodes) + ROW_BYTES
        if mentions <= WIDE:
            self._mentions += mentions
            self._size_bytes += U32.itemsize * mentions

    def _is_full(self) -> bool:
        return (
            self._mentions >= CHAPTER_MENTIONS
            or self._entries >= CHAPTER_ENTRIES
            or self._size_bytes >= CHAPTER_BYTES
            or self._next_seq - self.first_open >= CHAPTER_SEQS
        )

    def _write(
        self, rows: list[tuple[int, float, int, bytes]], stories: list[tuple[int, str]]
    ) -> None:
        self._db.executemany("INSERT INTO story VALUES (?, ?)", stories)
        self._db.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", rows)
        counters = (self._next_seq, self._next_story)
        self._db.execute("UPDATE log SET next_seq = ?, next_story = ?", counters)

    # --- chapters ------------------------------------------------------------------------------

    def _close_chapter(self) -> None:
        db, first = self._db, self.first_open
        rows = db.execute("SELECT seq, nodes FROM entry WHERE seq >= ? ORDER BY seq", (first,))
        postings = _postings([(seq - first, nodes) for seq, nodes in rows])
        (last_at,) = db.execute("SELECT max(at) FROM entry WHERE seq >= ?", (first,)).fetchone()
        chapter = db.execute(
            "INSERT INTO chapter (first_seq, end_seq, end_story, last_at, size_bytes)"
            " VALUES (?, ?, ?, ?, ?)",
            (first, self._next_seq, self._next_story, last_at, self._size_bytes),
        ).lastrowid
        db.executemany(
            "INSERT INTO posting VALUES (?, ?, ?)",
            ((block, chapter, entries) for block, entries in postings),
        )
        self._open_chapter(self._next_seq)

    def delete_oldest(self, before: float, most_bytes: int) -> bool:
        """Delete the oldest chapter within the caller's transaction, if it is time."""
        db = self._db
        oldest = db.execute(
            "SELECT id, end_seq, end_story, last_at FROM chapter ORDER BY id LIMIT 1"
        ).fetchone()
        if oldest is None:
            return False
        chapter, end_seq, end_story, last_at = oldest
        (size,) = db.execute("SELECT sum(size_bytes) FROM chapter").fetchone()
        if last_at >= before and size + self._size_bytes <= most_bytes:
            return False
        db.execute("DELETE FROM entry WHERE seq < ?", (end_seq,))
        db.execute("DELETE FROM story WHERE id < ?", (end_story,))
        blocks = range(WIDE_BLOCK, (len(self.names) >> BLOCK_BITS) + 1)
        db.executemany(
            "DELETE FROM posting WHERE block = ? AND chapter = ?",
            ((block, chapter) for block in blocks),
        )
        db.execute("DELETE FROM chapter WHERE id = ?", (chapter,))
        return True


def _text(notes: tuple[Note, ...]) -> str:
    """Notes as JSON. What a device said may be no Unicode: such letters become question marks."""
    try:
        return msgspec.json.encode(notes).decode()
    except UnicodeEncodeError:
        plain = [[text.encode("utf-8", "replace").decode() for text in note] for note in notes]
        return msgspec.json.encode(plain).decode()


def _postings(entries: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """For each block of nodes its mentions, ascending; all entries too wide for that in one more."""
    wide: list[int] = []
    sets: list[Numbers] = []
    offsets: list[int] = []
    for offset, nodes in entries:
        numbers = unpack(nodes)
        if len(numbers) > WIDE:
            wide.append(offset)
        elif len(numbers):
            sets.append(numbers)
            offsets.append(offset)
    found: list[tuple[int, bytes]] = []
    if wide:
        found.append((WIDE_BLOCK, np.array(wide, U32).tobytes()))
    if not sets:
        return found
    numbers = np.concatenate(sets).astype(np.uint64)
    spread = np.repeat(np.array(offsets, np.uint64), [len(one) for one in sets])
    mentions = np.sort(numbers << np.uint64(OFFSET_BITS) | spread)
    blocks = mentions >> np.uint64(32)
    words = mentions.astype(U32)
    edges = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(words)]
    for begin, end in pairwise(edges):
        found.append((int(blocks[begin]), words[begin:end].tobytes()))
    return found
