"""The part of iPXE that Kedge's boot scripts use: it runs them as the firmware of a node would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from kedge.sim.world.web import Answer

Get = Callable[[str], Awaitable[Answer]]
"""Fetches a URL whole; raises `OSError`."""

Dhcp = Callable[[], Awaitable[str]]
"""Asks for an address; returns the boot file that the answer names. Raises `OSError` where none answers."""

FILENAME = "${filename}"

LEAST_S = 0.01
"""What a command takes at least, so that a script that repeats at once cannot stop the world's time."""


class Kernel(NamedTuple):
    """What was loaded and is started now."""

    url: str
    arguments: str
    initrds: tuple[str, ...]


class Failed(Exception):
    """A command of a script failed and nothing follows it: iPXE ends."""


async def boot(get: Get, dhcp: Dhcp) -> Kernel:
    """Ask for an address and run the script that the answer names, and those that it chains to, until one
    boots a kernel; raises `Failed`, and `OSError` where nobody answers at all."""
    answer = await get(await dhcp())
    if answer.status != 200:
        raise Failed(f"HTTP {answer.status}")
    script = answer.text
    while True:
        run = _Run(script, get, dhcp)
        found = await run.to_its_end()
        if isinstance(found, Kernel):
            return found
        script = found


class _Run:
    """One script."""

    def __init__(self, script: str, get: Get, dhcp: Dhcp) -> None:
        self._lines = script.splitlines()
        self._get, self._dhcp = get, dhcp
        self._filename = ""
        self._kernel = ("", "")
        self._initrds: list[str] = []
        self._at = 0
        if not self._lines or self._lines[0] != "#!ipxe":
            raise Failed("what came is no script")

    async def to_its_end(self) -> Kernel | str:
        """The kernel that it boots, or the script that it gives way to."""
        while self._at < len(self._lines):
            line = self._lines[self._at].strip()
            self._at += 1
            if not line or line.startswith(("#", ":")):
                continue
            await asyncio.sleep(LEAST_S)
            command, _, otherwise = line.partition("||")
            try:
                found = await self._do(command.split())
            except (OSError, Failed) as problem:
                if "||" not in line:
                    raise Failed(f"{command}: {problem}") from problem
                if otherwise.strip():
                    self._goto(otherwise.split())
                continue
            if found is not None:
                return found
        raise Failed("the script ended")

    async def _do(self, words: list[str]) -> Kernel | str | None:
        options = [word for word in words[1:] if word.startswith("--")]
        rest = [word for word in words[1:] if not word.startswith("--")]
        rest = [word.replace(FILENAME, self._filename) for word in rest]
        if "--name" in options:
            rest = rest[1:]
        match words[0]:
            case "kernel":
                await self._load(rest[0])
                self._kernel = rest[0], " ".join(rest[1:])
            case "initrd":
                await self._load(rest[0])
                self._initrds.append(rest[0])
            case "boot":
                if not self._kernel[0]:
                    raise Failed("no kernel")
                return Kernel(*self._kernel, tuple(self._initrds))
            case "chain":
                return (await self._load(rest[0])).text
            case "sleep":
                await asyncio.sleep(float(rest[0]))
            case "goto":
                self._goto(words)
            case "imgfree":
                self._kernel, self._initrds = ("", ""), []
            case "dhcp":
                self._filename = await self._dhcp()
            case "isset":
                if not any(rest):
                    raise Failed("it is not set")
            case "echo":
                pass
            case other:
                raise Failed(f"{other}: command not found")
        return None

    async def _load(self, url: str) -> Answer:
        answer = await self._get(url)
        if answer.status != 200:
            raise Failed(f"{url}: HTTP {answer.status}")
        return answer

    def _goto(self, words: list[str]) -> None:
        label = f":{words[1]}"
        places = [number for number, line in enumerate(self._lines) if line.strip() == label]
        if not places:
            raise Failed(f"no label {label}")
        self._at = places[0] + 1
