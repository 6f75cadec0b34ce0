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


def remember(engine: Engine, store: Store) -> None:
    """Give a new engine what the last one had kept."""
    records = store.records(KIND)
    if "memory" in records:
        engine.restore({**records["memory"], "costs": records.get("costs", {})})


def save_memory(engine: Engine, store: Store, *, costs: bool = True) -> None:
    """Keep it, if it changed; the measurements only with ``costs``."""
    memory: dict[str, Any] = engine.export()
    measured = memory.pop("costs")
    records = store.records(KIND)
    if records.get("memory") != memory:
        store.put(KIND, "memory", memory)
    if costs and records.get("costs", {}) != measured:
        store.put(KIND, "costs", measured)


async def keep_memory(engine: Engine, store: Store) -> None:
    """Keep it, again and again: a second's worth of attempts is all that a crash may forget."""
    saved = 0
    while True:
        await asyncio.sleep(SAVE_EVERY_S)
        saved += 1
        save_memory(engine, store, costs=saved % COSTS_EVERY == 0)
