"""From the log of version 1, one row for each event of each node, to that of today.

The rows are moved a few thousand at a time, so that a process which is killed goes on at its next
start where it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from kedge.stores.port import Entry, Note

ROWS = 5000


def move_events(db: sqlite3.Connection, append: Callable[[Iterable[Entry]], int]) -> bool:
    """Move some rows and keep their ``seq``; False when none is left and the old table is gone.

    A row is deleted after it was appended; one that is there twice, as the process was killed in
    between, is told by its ``seq``.
    """
    found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'event'").fetchone()
    if found is None:
        return False
    (next_seq,) = db.execute("SELECT next_seq FROM log").fetchone()
    db.execute("DELETE FROM event WHERE seq < ?", (next_seq,))
    rows = db.execute(
        "SELECT at, node, what, subject, before, after, cause, seq FROM event ORDER BY seq LIMIT ?",
        (ROWS,),
    ).fetchall()
    if not rows:
        db.execute("DROP TABLE event")
        return False
    append(Entry(at, (node,) if node else (), (Note(*note),), seq) for at, node, *note, seq in rows)
    return True
