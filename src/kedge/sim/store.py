"""A process's door to the database of its machine: it may be slow or full, and closes when the process dies.

The database is a real one (`kedge.stores`) and outlives the process, as a disk does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kedge.lib.errors import KedgeError
from kedge.sim.loop import Killed, Loop
from kedge.stores.port import Intent, LoggedEvent, Store


@dataclass
class Disk:
    """What is wrong with a machine's disk now. ``kill_at`` counts down writes to the one that kills."""

    full: bool = False
    slow_s: float = 0.0
    kill_at: int = 0


class Process(Protocol):
    """The process that opened the store."""

    @property
    def loop(self) -> Loop: ...
    def kill(self) -> None: ...


class StoreDoor:
    """A `Store` as one process has it."""

    def __init__(self, store: Store, disk: Disk, process: Process) -> None:
        self._store = store
        self._disk = disk
        self._process = process
        self._loop = process.loop

    def _enter(self) -> None:
        if not self._loop.alive:
            raise Killed
        if self._disk.slow_s:
            self._loop.hold_up(self._disk.slow_s)

    def _write(self, write: Callable[..., Any], *args: Any) -> Any:
        """Write, or fail as a full disk does; the process may die before or after a write."""
        self._enter()
        disk = self._disk
        if disk.full:
            raise KedgeError(
                "store.failed", "the cluster database cannot be written",
                why="database or disk is full", next_step="Make room: df -h <state_dir>",
            )  # fmt: skip
        if disk.kill_at:
            disk.kill_at -= 1
            if disk.kill_at == 0:
                self._process.kill()
                raise Killed
        return write(*args)

    def intent(self) -> Intent:
        self._enter()
        return self._store.intent()

    def commit(self, intent: Intent, expected_revision: int) -> Intent:
        return self._write(self._store.commit, intent, expected_revision)

    def put(self, kind: str, key: str, record: Mapping[str, Any] | None) -> None:
        self._write(self._store.put, kind, key, record)

    def records(self, kind: str) -> dict[str, dict[str, Any]]:
        self._enter()
        return self._store.records(kind)

    def append(self, events: Iterable[LoggedEvent]) -> int:
        return self._write(self._store.append, events)

    def events(
        self, *, nodes: Iterable[str] = (), after: int = 0, limit: int = 100
    ) -> list[LoggedEvent]:
        self._enter()
        return self._store.events(nodes=nodes, after=after, limit=limit)

    def close(self) -> None:
        """The database stays: it is the machine's."""
