"""A process's door to the database of its machine: it may be slow or full, and closes when the process dies.

The database is a real one (`kedge.stores`) and outlives the process, as a disk does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from kedge.sim.world.loop import Killed, Loop
from kedge.stores.port import Intent, Store, unwritable

READS = frozenset({"intent", "records", "entries", "events"})


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
    def committed(self, intent: Intent) -> None: ...
    def put(self, kind: str, key: str, record: Mapping[str, Any] | None) -> None: ...


class StoreDoor:
    """A `Store` as one process has it: every method of the real one, behind the door."""

    def __init__(self, store: Store, disk: Disk, process: Process) -> None:
        self._store = store
        self._disk = disk
        self._process = process
        self._loop = process.loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return partial(self._read if name in READS else self._write, method)

    def put(self, kind: str, key: str, record: Mapping[str, Any] | None) -> None:
        """Set one small record; everybody who watches is told."""
        self._write(self._store.put, kind, key, record)
        self._process.put(kind, key, record)

    def commit(self, intent: Intent, expected_revision: int) -> Intent:
        """Replace the intent; everybody who watches is told."""
        committed: Intent = self._write(self._store.commit, intent, expected_revision)
        self._process.committed(committed)
        return committed

    def _read(self, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        if not self._loop.alive:
            raise Killed
        if self._disk.slow_s:
            self._loop.hold_up(self._disk.slow_s)
        return method(*args, **named)

    def _write(self, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Write, or fail as on a full disk, or die in the place of it."""
        disk = self._disk
        if disk.full and self._loop.alive:
            raise unwritable("database or disk is full", "/var/lib/kedge")
        if disk.kill_at and self._loop.alive:
            disk.kill_at -= 1
            if disk.kill_at == 0:
                self._process.kill()
        return self._read(method, *args, **named)

    def close(self) -> None:
        """The database stays: it is the machine's."""
