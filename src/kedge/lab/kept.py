"""A server process of the lab that is started, watched, and started again should it end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from kedge.lab import processes
from kedge.lib.errors import KedgeError

log = logging.getLogger(__name__)
START_TIMEOUT_S = 20.0
POLL_S = 0.05
RESTART_S = 1.0
SEARCH_PATH = "/usr/bin:/usr/sbin:/bin:/sbin:/usr/local/bin:/usr/local/sbin"


def program(name: str, package: str) -> str:
    """The path of an installed program, or an error that names its Debian package."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        raise KedgeError(
            "lab.missing_program",
            f"{name} is not installed",
            next_step=f"Install it: apt-get install {package}",
        )
    return found


class Kept:
    """One such process; its output goes to ``<home>/<role>.log``."""

    def __init__(
        self,
        lab: str,
        role: str,
        command: Sequence[str],
        home: Path,
        ready: Callable[[], Awaitable[bool]],
    ) -> None:
        self._lab = lab
        self._role = role
        self._command = command
        self._home = home
        self._ready = ready
        self._log = home / f"{role}.log"
        self._process: processes.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    def alive(self) -> bool:
        """Whether the process runs at this moment."""
        return self._process is not None and self._process.alive()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            self._process.send(number)

    async def start(self) -> None:
        """Start it and keep it; returns when it is ready, raises `KedgeError` when it is not."""
        child = await self._spawn()
        self._keeper = asyncio.create_task(self._keep(child))

    async def stop(self) -> None:
        """End it at once and for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        self.send(signal.SIGKILL)
        while self.alive():
            await asyncio.sleep(0.01)

    async def _keep(self, child: asyncio.subprocess.Process) -> None:
        while True:
            status = await child.wait()
            log.warning("%s ended with status %s; starting it again", self._role, status)
            await asyncio.sleep(RESTART_S)
            try:
                child = await self._spawn()
            except KedgeError as error:
                log.error("%s", error)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self._log.open("wb") as output:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=processes.mark(self._lab, self._role),
                cwd=self._home,
                start_new_session=True,
            )
        self._process = processes.look(child.pid)
        for _ in range(int(START_TIMEOUT_S / POLL_S)):
            if child.returncode is not None:
                break
            if await self._ready():
                return child
            await asyncio.sleep(POLL_S)
        self.send(signal.SIGKILL)
        said = self._log.read_text(errors="replace").strip().splitlines()
        raise KedgeError(
            "lab.server_failed",
            f"{Path(self._command[0]).name} did not start",
            where=self._role,
            why=said[-1] if said else "it said nothing",
            next_step=f"Read {self._log}",
        )
