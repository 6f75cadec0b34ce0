"""Speaks QMP, QEMU's machine protocol, over a machine's own socket: one connection per request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

TIMEOUT_S = 10.0
MAX_REPLY_BYTES = 1 << 20


class QmpError(Exception):
    """QEMU cannot be reached over its socket, or refused a command."""


async def execute(socket: Path, *commands: tuple[str, dict[str, Any]]) -> list[Any]:
    """Run ``commands`` (name, arguments) one after another and return what each returned."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _execute(socket, commands)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        raise QmpError(f"QEMU does not answer: {type(error).__name__} {error}".rstrip()) from error


async def _execute(socket: Path, commands: tuple[tuple[str, dict[str, Any]], ...]) -> list[Any]:
    reader, writer = await asyncio.open_unix_connection(str(socket), limit=MAX_REPLY_BYTES)
    try:
        await reader.readuntil(b"\n")  # the greeting
        return [
            await _one(reader, writer, name, arguments)
            for name, arguments in (("qmp_capabilities", {}), *commands)
        ][1:]
    finally:
        writer.close()


async def _one(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    name: str,
    arguments: dict[str, Any],
) -> Any:
    writer.write(msgspec.json.encode({"execute": name, "arguments": arguments}) + b"\n")
    await writer.drain()
    while True:
        reply: Any = msgspec.json.decode(await reader.readuntil(b"\n"))
        if "return" in reply:
            return reply["return"]
        if "error" in reply:
            raise QmpError(f"{name}: {reply['error'].get('desc', 'refused')}")
