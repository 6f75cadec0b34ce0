"""Doing a piece of shared work once, however many ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Work by key: those who ask while it runs await the same result, or the same error."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Future[T]] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result of ``work``; one caller that is cancelled does not end it for the others."""
        place = asyncio.get_running_loop(), key
        future = self._running.get(place)
        if future is None:
            future = asyncio.ensure_future(_awaited(work))
            self._running[place] = future
            future.add_done_callback(lambda _: self._running.pop(place, None))
        return await asyncio.shield(future)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
