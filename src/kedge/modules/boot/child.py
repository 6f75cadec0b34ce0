"""A server program that runs under Kedge: with few rights, ended with it, its last words kept."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from kedge.lib.errors import KedgeError

END_TIMEOUT_S = 3.0
LINES_KEPT = 20
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``user`` and ``capabilities`` (``net_raw``) apply where Kedge is root; without a
    user the program keeps the capabilities only."""

    name: str
    arguments: Sequence[str]
    package: str
    user: str = ""
    capabilities: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def command(self) -> list[str]:
        """The whole command line, through ``setpriv``; raises `KedgeError` when it is missing."""
        path = shutil.which(self.name, path=PATH)
        if path is None:
            raise KedgeError(
                "boot.no_program",
                f"{self.name} is not installed",
                next_step=f"Type: apt-get install {self.package}",
            )
        command = ["setpriv", "--pdeathsig", "TERM"]
        if os.geteuid() == 0:
            kept = ",".join(["-all", *(f"+{name}" for name in self.capabilities)])
            if self.user and _exists(self.user):
                command += ["--reuid", self.user, "--regid", self.user, "--clear-groups"]
                command += ["--ambient-caps", kept]
            command += ["--inh-caps", kept, "--bounding-set", kept]
        return [*command, "--no-new-privs", path, *self.arguments]


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


class Child:
    """A running program; leaving the ``async with`` block ends it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._program.command(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": PATH, "LC_ALL": "C.UTF-8", **self._program.environment},
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        for signal in (self._process.terminate, self._process.kill):
            if self._process.returncode is None:
                try:
                    signal()
                    async with asyncio.timeout(END_TIMEOUT_S):
                        await self._process.wait()
                except (TimeoutError, ProcessLookupError, PermissionError):
                    continue
        self._reader.cancel()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # longer than the reader's limit; it was thrown away
                continue
            if not line:
                return
            self._lines.append(line.decode(errors="replace").strip())

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    @property
    def last_words(self) -> str:
        """The end of what it wrote."""
        return " / ".join(list(self._lines)[-3:])

    async def ended(self) -> KedgeError:
        """Wait for its end, which is never wanted: the error that says so."""
        status = await self._process.wait()
        await asyncio.wait([self._reader], timeout=1.0)
        return KedgeError(
            "boot.server_ended",
            f"{self._program.name} ended with status {status}",
            why=self.last_words,
            next_step="Kedge starts it again; is its port taken? Type: kedge doctor",
        )
