"""What of the engine must outlive a restart and cannot be discovered: quarantine, attempts, requests,
and what was measured of each mutation.

The measurements change with every step and harm nobody when the last few are lost, so they lie in a
record of their own that is written more rarely.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kedge.core.engine.engine import Engine
from kedge.stores.port import Store

KIND = "engine"
SAVE_EVERY_S = 1.0
COSTS_EVERY = 60
"""So many times seldomer the measurements are saved."""


class Memory:
    """One engine's memory in one store: given back at the start, and kept from then on."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._saved = store.records(KIND)
        if "memory" in self._saved:
            costs = self._saved.get("costs", {})
            engine.restore({**self._saved["memory"], "costs": costs})

    def save(self, *, costs: bool = True) -> None:
        """Keep it, if it changed; the measurements only with ``costs``. Raises `KedgeError`."""
        memory: dict[str, Any] = self._engine.export(costs=costs)
        measured = memory.pop("costs")
        self._put("memory", memory)
        if costs:
            self._put("costs", measured)

    def _put(self, key: str, record: dict[str, Any]) -> None:
        if self._saved.get(key, {}) != record:
            self._store.put(KIND, key, record)
            self._saved[key] = record

    async def keep(self) -> None:
        """Keep it, again and again: a second's worth of attempts is all that a crash may forget."""
        saved = 0
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            saved += 1
            self.save(costs=saved % COSTS_EVERY == 0)
