"""What of the engine must outlive a restart and cannot be discovered: quarantine, attempts, requests."""

from __future__ import annotations

import asyncio

from kedge.core.engine.engine import Engine
from kedge.stores.port import Store

KIND = "engine"
SAVE_EVERY_S = 1.0


def remember(engine: Engine, store: Store) -> None:
    """Give a new engine what the last one had kept."""
    kept = store.records(KIND).get("memory")
    if kept is not None:
        engine.restore(kept)


def save_memory(engine: Engine, store: Store) -> None:
    """Keep it, if it changed."""
    memory = engine.export()
    if store.records(KIND).get("memory") != memory:
        store.put(KIND, "memory", memory)


async def keep_memory(engine: Engine, store: Store) -> None:
    """Keep it, again and again: a second's worth of attempts is all that a crash may forget."""
    while True:
        await asyncio.sleep(SAVE_EVERY_S)
        save_memory(engine, store)
