"""Running one command of the site at the head, its output to a log, until it ends or is no longer wanted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL = 400
END_S = 5.0
MOST_LOG = 2_000_000


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    status: int
    text: str

    @property
    def tail(self) -> str:
        """The end of what it wrote, on one line."""
        return " / ".join(self.text.strip().splitlines()[-4:])[-TAIL:]


RunCommand = Callable[[Sequence[str], Mapping[str, str], Path, Path], Awaitable[Ran]]
"""Words, environment, folder and log of a command -> how it ended."""


async def run(words: Sequence[str], environment: Mapping[str, str], place: Path, log: Path) -> Ran:
    """Run one command to its end, its output to ``log``; cancelled, it is killed with all its children."""
    begin = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file:
        try:
            process = await asyncio.create_subprocess_exec(
                "setpriv", "--pdeathsig", "KILL", *words,
                stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=asyncio.subprocess.STDOUT,
                env=dict(environment), cwd=place, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return Ran(127, str(error))
    try:
        status = await process.wait()
    finally:
        await end(process)
    return Ran(status, _read(log, begin))


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of a command that was started in a session of its own, with all its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            return
        if process.returncode is not None:
            continue
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            continue


def _read(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        size = log.stat().st_size
        file.seek(max(begin, size - MOST_LOG))
        return file.read().decode(errors="replace")
