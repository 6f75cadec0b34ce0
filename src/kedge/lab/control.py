"""The lab daemon's Unix socket: one JSON request a line, answered by progress lines and an end.

Replies are ``{"progress": text}`` any number of times, then ``{"done": value}`` or
``{"error": {...}}``. The socket lies in a directory that only its owner can enter.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from kedge.lib.errors import KedgeError

log = logging.getLogger(__name__)
MAX_LINE_BYTES = 1 << 20

Tell = Callable[[str], Awaitable[None]]
Answer = Callable[[dict[str, Any], Tell], Awaitable[Any]]


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Answer requests on the socket ``path``."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def tell(text: str) -> None:
            await _send(writer, {"progress": text})

        try:
            request: Any = msgspec.json.decode(await reader.readuntil(b"\n"))
            try:
                await _send(writer, {"done": await answer(request, tell)})
            except KedgeError as error:
                await _send(writer, {"error": error.as_dict()})
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.debug("a client went away: %s", error)
        except msgspec.DecodeError:
            log.warning("a request on the control socket is not JSON")
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    return await asyncio.start_unix_server(connected, str(path), limit=MAX_LINE_BYTES)


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(msgspec.json.encode(message) + b"\n")
    await writer.drain()


class NoDaemon(Exception):
    """Nobody listens on the lab's socket."""


def ask(
    path: Path,
    op: str,
    *,
    timeout_s: float = 60.0,
    progress: Callable[[str], None] = lambda _: None,
    **arguments: Any,
) -> Any:
    """One request to the daemon, waiting for its end; raises `KedgeError` or `NoDaemon`."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode({"op": op, **arguments}) + b"\n")
            for line in connection.makefile("rb"):
                reply: Any = msgspec.json.decode(line)
                if "progress" in reply:
                    progress(reply["progress"])
                elif "error" in reply:
                    error = dict(reply["error"])
                    raise KedgeError(error.pop("code"), error.pop("what"), **error)
                else:
                    return reply["done"]
        except TimeoutError as error:
            raise KedgeError(
                "lab.daemon_silent",
                f"the lab's daemon did not answer {op!r} in {timeout_s:g} s",
                next_step="Start again: kedge lab down, then kedge lab up",
            ) from error
        except OSError as error:
            raise NoDaemon(str(error)) from error
    raise NoDaemon("the daemon closed the connection")
