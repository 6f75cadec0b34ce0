"""The embedded store: one SQLite file, written ahead, readable by its owner only."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.stores.port import Conflict, Intent, LoggedEvent

SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE intent (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL, files TEXT NOT NULL, overrides TEXT NOT NULL, holds TEXT NOT NULL
);
CREATE TABLE record (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, node TEXT NOT NULL, what TEXT NOT NULL,
    subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, cause TEXT NOT NULL
);
CREATE INDEX event_by_node ON event (node, seq);
"""

COLUMNS = "at, node, what, subject, before, after, cause, seq"


class SqliteStore:
    """A `kedge.stores.port.Store` in one file (``:memory:`` for one that forgets)."""

    def __init__(self, path: Path | str) -> None:
        if path != ":memory:":
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._prepare()
        except sqlite3.Error as error:
            raise KedgeError(
                "store.open",
                "cannot open the cluster database",
                where=str(path),
                why=str(error),
                next_step="Check free space and permissions; another kedge serve may hold it",
            ) from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise KedgeError(
                "store.version",
                f"the cluster database has version {version}, this Kedge reads {SCHEMA_VERSION}",
                next_step="Start the Kedge version that wrote it",
            )

    def intent(self) -> Intent:
        row = self._db.execute("SELECT revision, files, overrides, holds FROM intent").fetchone()
        if row is None:
            return Intent()
        return Intent(row[0], json.loads(row[1]), json.loads(row[2]), json.loads(row[3]))

    def commit(self, intent: Intent, expected_revision: int) -> Intent:
        new = Intent(expected_revision + 1, intent.files, intent.overrides, intent.holds)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            found = self.intent().revision
            if found != expected_revision:
                raise Conflict(expected_revision, found)
            self._db.execute(
                "INSERT OR REPLACE INTO intent VALUES (1, ?, ?, ?, ?)",
                (new.revision, *map(json.dumps, (new.files, new.overrides, new.holds))),
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return new

    def put(self, kind: str, key: str, record: Mapping[str, Any] | None) -> None:
        if record is None:
            self._db.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, key))
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO record VALUES (?, ?, ?)", (kind, key, json.dumps(record))
            )

    def records(self, kind: str) -> dict[str, dict[str, Any]]:
        rows = self._db.execute(
            "SELECT key, value FROM record WHERE kind = ? ORDER BY key", (kind,)
        )
        return {key: json.loads(value) for key, value in rows}

    def append(self, events: Iterable[LoggedEvent]) -> int:
        rows = [(e.at, e.node, e.what, e.subject, e.before, e.after, e.cause) for e in events]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                "INSERT INTO event (at, node, what, subject, before, after, cause)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()
        return int(last)

    def events(
        self, *, nodes: Iterable[str] = (), after: int = 0, limit: int = 100
    ) -> list[LoggedEvent]:
        wanted = list(nodes)
        where = ["seq > ?"]
        values: list[Any] = [after]
        if wanted:
            where.append("node IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(wanted))
        order = "ASC" if after else "DESC"
        rows = self._db.execute(
            f"SELECT {COLUMNS} FROM event WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT ?",
            (*values, limit),
        ).fetchall()
        found = [LoggedEvent(*row) for row in rows]
        return found if after else found[::-1]

    def close(self) -> None:
        self._db.close()
