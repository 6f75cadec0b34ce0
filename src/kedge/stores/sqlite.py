"""The embedded store: one SQLite file, written ahead, readable by its owner only."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.stores import upgrade
from kedge.stores.log import SCHEMA as LOG_SCHEMA
from kedge.stores.log import EventLog
from kedge.stores.log_reading import Reading
from kedge.stores.port import Conflict, Entry, Intent, LoggedEvent, unwritable

SCHEMA_VERSION = 3

OVERRIDE_SCHEMA = (
    "CREATE TABLE override (node TEXT PRIMARY KEY, entries TEXT NOT NULL) WITHOUT ROWID;"
)
SCHEMA = f"""
CREATE TABLE intent (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL, files TEXT NOT NULL, holds TEXT NOT NULL
);
{OVERRIDE_SCHEMA}
CREATE TABLE record (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
{LOG_SCHEMA}
"""
OVERRIDES_APART = f"""BEGIN;
{OVERRIDE_SCHEMA}
INSERT INTO override SELECT each.key, each.value FROM intent, json_each(intent.overrides) AS each;
ALTER TABLE intent DROP COLUMN overrides;
PRAGMA user_version = 3;
COMMIT;"""
"""From version 2, which had all overrides in one text, to 3."""


@contextmanager
def _told(place: str) -> Generator[None]:
    """What SQLite cannot do is an error of the world."""
    try:
        yield
    except sqlite3.Error as error:
        raise unwritable(str(error), place) from error


class SqliteStore:
    """A `kedge.stores.port.Store` in one file (``:memory:`` for one that forgets)."""

    def __init__(self, path: Path | str) -> None:
        self._place = str(Path(path).parent) if path != ":memory:" else ""
        if self._place:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._prepare()
            self._log = EventLog(self._db)
            self._kept: Intent | None = None
            while upgrade.move_events(self._db, self.append):
                pass
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
        elif version in (1, 2):
            if version == 1:
                self._db.executescript(f"BEGIN;{LOG_SCHEMA}PRAGMA user_version = 2;COMMIT;")
            self._db.executescript(OVERRIDES_APART)
        elif version != SCHEMA_VERSION:
            raise KedgeError(
                "store.version",
                f"the cluster database has version {version}, this Kedge reads {SCHEMA_VERSION}",
                next_step="Start the Kedge version that wrote it",
            )

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with _told(self._place):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite ends it by itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise

    def intent(self) -> Intent:
        row = self._db.execute("SELECT revision, files, holds FROM intent").fetchone()
        if row is None:
            return Intent()
        rows = self._db.execute("SELECT node, entries FROM override ORDER BY node")
        overrides = {node: json.loads(entries) for node, entries in rows}
        return Intent(row[0], json.loads(row[1]), overrides, json.loads(row[2]))

    def commit(self, intent: Intent, expected_revision: int) -> Intent:
        new = Intent(expected_revision + 1, intent.files, intent.overrides, intent.holds)
        with self._transaction():
            row = self._db.execute("SELECT revision FROM intent").fetchone()
            found = row[0] if row is not None else 0
            if found != expected_revision:
                raise Conflict(expected_revision, found)
            before = self._kept
            if before is None or before.revision != found:
                before = self.intent()
            self._write(before, new)
        self._kept = new
        return new

    def _write(self, before: Intent, new: Intent) -> None:
        """Write what is otherwise than before: a rollout gives some of very many nodes a release."""
        if new.revision == 1:
            self._db.execute("INSERT INTO intent VALUES (1, 1, '', '')")
        self._db.execute("UPDATE intent SET revision = ?", (new.revision,))
        for column in ("files", "holds"):
            value = getattr(new, column)
            if new.revision == 1 or value != getattr(before, column):
                self._db.execute(f"UPDATE intent SET {column} = ?", (json.dumps(value),))
        old, overrides = before.overrides, new.overrides
        changed = [node for node in overrides if overrides[node] != old.get(node)]
        self._db.executemany(
            "INSERT OR REPLACE INTO override VALUES (?, ?)",
            [(node, json.dumps(overrides[node])) for node in changed],
        )
        gone = [(node,) for node in old.keys() - overrides.keys()]
        self._db.executemany("DELETE FROM override WHERE node = ?", gone)

    def put(self, kind: str, key: str, record: Mapping[str, Any] | None) -> None:
        with _told(self._place):
            if record is None:
                self._db.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, key))
            else:
                self._db.execute(
                    "INSERT OR REPLACE INTO record VALUES (?, ?, ?)",
                    (kind, key, json.dumps(record)),
                )

    def records(self, kind: str) -> dict[str, dict[str, Any]]:
        rows = self._db.execute(
            "SELECT key, value FROM record WHERE kind = ? ORDER BY key", (kind,)
        )
        return {key: json.loads(value) for key, value in rows}

    def append(self, entries: Iterable[Entry]) -> int:
        try:
            with self._transaction():
                return self._log.append(entries)
        except BaseException:
            self._log.load()
            raise

    def events(
        self, *, nodes: Iterable[str] = (), after: int = 0, limit: int = 100
    ) -> list[LoggedEvent]:
        reading = Reading(self._db, self._log, nodes)
        return reading.behind(after, limit) if after else reading.last(limit)

    def trim(self, before: float, most_bytes: int) -> bool:
        with self._transaction():
            return self._log.delete_oldest(before, most_bytes)

    def close(self) -> None:
        self._db.close()
