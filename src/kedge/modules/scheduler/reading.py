"""What the scheduler said last. While it cannot be read this holds for a few rounds; then nobody knows."""

from __future__ import annotations

import asyncio

from kedge.lib.errors import KedgeError
from kedge.modules.port import Io
from kedge.modules.scheduler.driver import CALL_S, Cluster, Driver

LANE = "scheduler"
STALE_ROUNDS = 3
STALE_LEAST_S = 30.0


class Reading:
    """The last answer: ``cluster`` (None: nobody knows), and ``error`` where it could not be read since."""

    def __init__(self, io: Io) -> None:
        self._io = io
        self._read_at = 0.0
        self.asked_at = 0.0
        """When what ``cluster`` answers was asked, by the event loop's clock."""
        self.cluster: Cluster | None = None
        self.error = ""

    async def again(self, driver: Driver, every_s: float) -> None:
        """Read the whole cluster, as happens every ``every_s`` seconds. Tells of errors that come and go."""
        error, asked_at = "", asyncio.get_running_loop().time()
        try:
            self.cluster = await self._io.blocking(LANE, driver.read, timeout_s=CALL_S)
            self._read_at, self.asked_at = self._io.now(), asked_at
        except KedgeError as problem:
            error = str(problem)
        except TimeoutError:
            error = f"the scheduler did not answer within {CALL_S:g} s"
        if error and self._io.now() - self._read_at > max(STALE_LEAST_S, STALE_ROUNDS * every_s):
            self.cluster = None
        if error != self.error:
            self._io.event("", "scheduler", "read", error or "it can be read again")
            self._io.degraded("scheduler", error)
        self.error = error
