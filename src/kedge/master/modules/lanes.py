"""Blocking calls on worker threads, so that a device that hangs keeps nobody else waiting.

Calls of one lane (a BMC's address) run one at a time: a lane that hangs holds one thread, whatever
is asked of it, and its further callers time out in their own queue. Drivers have time-outs of their
own, which end the hung call in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from kedge.lib.errors import KedgeError

T = TypeVar("T")

MAX_THREADS = 256
MAX_QUEUED_PER_LANE = 16


class Lanes:
    """A bounded pool of threads, shared by lanes."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="lane")
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    async def call(self, lane: str, call: Callable[..., T], *args: Any, timeout_s: float) -> T:
        """The result of ``call(*args)``; raises what it raises, or `TimeoutError`."""
        waiting = self._waiting.get(lane, 0)
        if waiting >= MAX_QUEUED_PER_LANE:
            raise KedgeError("lane.full", "too many requests wait for an answer", where=lane)
        self._waiting[lane] = waiting + 1
        try:
            async with asyncio.timeout(timeout_s):
                return await self._run(lane, call, *args)
        finally:
            self._waiting[lane] -= 1
            if not self._waiting[lane]:
                del self._waiting[lane]

    async def _run(self, lane: str, call: Callable[..., T], *args: Any) -> T:
        lock = self._locks.setdefault(lane, asyncio.Lock())
        await lock.acquire()
        future = asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

        def ended(done: asyncio.Future[T]) -> None:
            lock.release()
            if not done.cancelled():
                done.exception()

        future.add_done_callback(ended)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Let the threads go; calls that still hang end by their drivers' time-outs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
