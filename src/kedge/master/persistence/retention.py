"""Keeping the event log within its bounds, of age and of size: a small part is deleted at a time."""

from __future__ import annotations

import asyncio

from kedge.master.process.clock import Clock
from kedge.master.process.settings import Settings
from kedge.stores.port import Store

LOOK_EVERY_S = 60.0
PAUSE_S = 0.2
DAY_S = 86_400.0


async def keep_short(store: Store, clock: Clock, settings: Settings) -> None:
    """Delete what is too old or too much, again and again, with pauses for all else."""
    most_bytes = settings.events_keep_mib << 20
    while True:
        before = clock.wall() - settings.events_keep_days * DAY_S
        while store.trim(before, most_bytes):
            await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(LOOK_EVERY_S)
