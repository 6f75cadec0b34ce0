"""Small records that must not be lost and need not be written at once: kept until the disk takes them.

A full disk must not end sessions with nodes. What could not be written holds in this process, is tried
again, and is told as a degradation; only if the process ends before the disk has room is it lost, which
costs a node a boot at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.stores.port import Store

AGAIN_S = 5.0
FAILING = "database"
"""Under which name it is told as failing."""


class LateWrites:
    """A store's small records. ``failing`` is where degradations are told by name."""

    def __init__(self, store: Store, failing: dict[str, str]) -> None:
        self._store = store
        self._failing = failing
        self._late: dict[tuple[str, str], Mapping[str, Any] | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def records(self, kind: str) -> dict[str, dict[str, Any]]:
        """All records of a kind that are written, by key."""
        return self._store.records(kind)

    def put_now(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Set a record that must be written before anything else happens; raises `KedgeError`."""
        self._store.put(kind, key, record)
        self._late.pop((kind, key), None)

    def put(self, kind: str, key: str, record: Mapping[str, Any] | None) -> None:
        """Set a record (None: remove it), now or as soon as it can be written."""
        self._late.pop((kind, key), None)
        self._late[kind, key] = record
        if self._timer is None:
            self._write()

    def _write(self) -> None:
        self._timer = None
        while self._late:
            place, record = next(iter(self._late.items()))
            try:
                self._store.put(*place, record)
            except KedgeError as error:
                self._failing[FAILING] = str(error)
                self._timer = asyncio.get_running_loop().call_later(AGAIN_S, self._write)
                return
            del self._late[place]
        self._failing.pop(FAILING, None)

    def close(self) -> None:
        """Try for the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._write()
        if self._timer is not None:
            self._timer.cancel()
