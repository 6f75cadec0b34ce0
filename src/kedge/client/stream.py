"""Reading server-sent events (WHATWG HTML, 9.2) from a stream of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from kedge.lib.errors import KedgeError

MOST_BYTES = 4_000_000


class Message(msgspec.Struct):
    """Something from the event stream; ``seq`` is above 0 for lines of the log."""

    topic: str
    content: dict[str, Any]
    seq: int = 0


class Chunks(Protocol):
    """Where bytes come from; no bytes: the end."""

    async def readany(self) -> bytes: ...


class Parser:
    """Takes bytes as they come, gives whole messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._topic = ""
        self._lines: list[bytes] = []
        self._seq = 0

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that ``chunk`` completes; raises `KedgeError` for what is none."""
        found: list[Message] = []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) + sum(map(len, self._lines)) > MOST_BYTES:
            raise KedgeError("api.answer", "a message of the event stream is too long")
        for line in lines:
            line = line.removesuffix(b"\r")
            if not line:
                found.extend(self._end())
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"event":
                self._topic = value.decode("utf-8", "replace")
            elif name == b"data":
                self._lines.append(value)
            elif name == b"id" and value.isdigit():
                self._seq = int(value)
        return found

    def _end(self) -> list[Message]:
        topic, lines, seq = self._topic, self._lines, self._seq
        self._topic, self._lines, self._seq = "", [], 0
        if not lines:
            return []
        try:
            content = msgspec.json.decode(b"\n".join(lines), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise KedgeError(
                "api.answer", "a message of the event stream is not JSON", why=str(error)
            ) from None
        return [Message(topic or "message", content, seq)]


async def read_messages(chunks: Chunks, silence_s: float) -> AsyncIterator[Message]:
    """All messages until the stream ends; raises `KedgeError` when it is silent for too long."""
    parser = Parser()
    while True:
        try:
            async with asyncio.timeout(silence_s):
                chunk = await chunks.readany()
        except TimeoutError:
            raise KedgeError("api.unreachable", "the event stream fell silent") from None
        if not chunk:
            return
        for message in parser.feed(chunk):
            yield message
