"""Keeping services alive: what fails is said and started again, later each time.

The one place of the whole tree that catches every exception: a module that raises harms only itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kedge.lib.errors import KedgeError

log = logging.getLogger("kedge")

BACKOFF_LEAST_S = 0.5
BACKOFF_MOST_S = 30.0
CALM_S = 60.0

Work = Callable[[], Awaitable[None]]


async def outcome(work: Work) -> KedgeError | TimeoutError | None:
    """Run ``work`` to its end; an error of the world comes back, a bug is logged and comes back as one."""
    try:
        await work()
    except (KedgeError, TimeoutError) as error:
        return error
    except asyncio.CancelledError:
        raise
    except Exception as error:  # the one broad except of the tree
        log.exception("bug: %s", error)
        return KedgeError("bug", f"{type(error).__name__}: {error}", why="a bug; see the log")
    return None


class Supervisor:
    """Runs named services for as long as it is not closed. ``tell(name, error)`` hears of failures."""

    def __init__(
        self, tell: Callable[[str, str], None], failing: dict[str, str] | None = None
    ) -> None:
        self._tell = tell
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failing: dict[str, str] = {} if failing is None else failing

    def spawn(self, name: str, work: Work) -> None:
        """Start ``work``; one that runs under the same name is ended first."""
        earlier = self._tasks.get(name)
        if earlier is not None:
            earlier.cancel()
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=name)

    async def _keep(self, name: str, work: Work) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = BACKOFF_LEAST_S
        while True:
            started = loop.time()
            error = await outcome(work)
            if error is None:
                self.failing.pop(name, None)
                return
            if self.failing.get(name) != str(error):
                self._tell(name, str(error))
            self.failing[name] = str(error)
            if loop.time() - started > CALM_S:
                backoff_s = BACKOFF_LEAST_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MOST_S)

    async def close(self) -> None:
        """Cancel all services and wait until each has cleaned up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
