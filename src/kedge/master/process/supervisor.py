"""Keeping services alive: what fails is said and started again, later each time.

The one place of the whole tree that catches every exception: a module that raises harms only itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextvars import copy_context
from typing import Any, TypeVar

from kedge.lib.errors import KedgeError
from kedge.master.process.attribution import current_module

log = logging.getLogger("kedge")

BACKOFF_LEAST_S = 0.5
BACKOFF_MOST_S = 30.0
CALM_S = 60.0

Work = Callable[[], Awaitable[None]]

T = TypeVar("T")

CLOSE_MOST_S = 10.0
"""Who does not end within this time after it was asked to is left behind."""


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


def attempt(call: Callable[[], T], *, quietly: bool = False) -> T | KedgeError:
    """The result of a call into somebody's module, or what it raised; a bug is logged, unless
    ``quietly``."""
    try:
        return call()
    except KedgeError as error:
        return error
    except Exception as error:
        if not quietly:
            log.exception("bug: %s", error)
        return KedgeError("bug", f"{type(error).__name__}: {error}", why="a bug; see the log")


class Supervisor:
    """Runs named services for as long as it is not closed. ``tell(name, error)`` hears of failures."""

    def __init__(
        self, tell: Callable[[str, str], None], failing: dict[str, str] | None = None
    ) -> None:
        self._tell = tell
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._owners: dict[str, str] = {}
        self.failing: dict[str, str] = {} if failing is None else failing

    def spawn(self, name: str, work: Work, owner: str = "") -> None:
        """Start ``work``; one that runs under the same name is ended first. It belongs to the module
        ``owner``, or to the one that is at work."""
        earlier = self._tasks.get(name)
        if earlier is not None:
            earlier.cancel()
        owner = owner or current_module.get()
        context = copy_context()
        context.run(current_module.set, owner)
        self._owners[name] = owner
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=name, context=context)

    def end(self, owner: str) -> None:
        """End all that belongs to a module."""
        for name in [name for name, of in self._owners.items() if of == owner]:
            self._tasks.pop(name).cancel()
            del self._owners[name]
            self.failing.pop(name, None)

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
        await ended(self._tasks.values())


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for them, but not for one that does not let itself be cancelled."""
    every = list(tasks)
    for task in every:
        task.cancel()
    if every:
        _, stuck = await asyncio.wait(every, timeout=CLOSE_MOST_S)
        for task in stuck:
            log.error("%s does not end; it is left behind", task.get_name())
