"""As much of HTTP/1.1 (RFC 9112) as a client of Kedge needs, over a Unix socket, TCP or TLS.

Plain requests and the event stream go the same way, one connection each: a command makes a handful. An
HTTP library would be the larger part of what a command does at all: importing aiohttp takes longer than
all else from its start to its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

MOST_HEADERS = 64
LINE_BYTES = 64 * 1024
PIECE_BYTES = 256 * 1024


class BrokenAnswer(ConnectionError):
    """What came is no HTTP, or ended too early."""


class Place(Protocol):
    """Where the server is: a Unix socket, or a URL."""

    @property
    def socket(self) -> object: ...
    @property
    def url(self) -> str: ...


@dataclass
class Answer:
    """The head of an answer, and its body piece by piece."""

    status: int
    headers: dict[str, str]
    _reader: asyncio.StreamReader
    _left: int | None = field(init=False)
    _chunked: bool = field(init=False)

    def __post_init__(self) -> None:
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise BrokenAnswer("an answer without a valid length")
        self._left = 0 if self._chunked else None if length is None else int(length)
        if self.status in (204, 304):
            self._chunked, self._left = False, 0

    async def readany(self) -> bytes:
        """The next piece of the body; no bytes: the end."""
        if self._chunked and self._left == 0:
            self._left = await self._chunk_size()
            if self._left == 0:
                self._chunked = False
        if self._left == 0:
            return b""
        most = PIECE_BYTES if self._left is None else min(PIECE_BYTES, self._left)
        piece = await self._reader.read(most)
        if self._left is not None:
            if not piece:
                raise BrokenAnswer("the answer ended too early")
            self._left -= len(piece)
            if self._chunked and self._left == 0:
                await _line(self._reader)
        return piece

    async def _chunk_size(self) -> int:
        size = (await _line(self._reader)).partition(";")[0].strip()
        if not size or len(size) > 12 or set(size.lower()) - set("0123456789abcdef"):
            raise BrokenAnswer("an answer with a chunk that has no size")
        return int(size, 16)

    async def read(self) -> bytes:
        """All of the body."""
        pieces: list[bytes] = []
        while piece := await self.readany():
            pieces.append(piece)
        return b"".join(pieces)


async def connect(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection; raises `OSError`."""
    if place.socket is not None:
        return await asyncio.open_unix_connection(str(place.socket), limit=LINE_BYTES)
    parts = urlsplit(place.url)
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    return await asyncio.open_connection(parts.hostname, port, ssl=tls or None, limit=LINE_BYTES)


async def ask(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Answer:
    """Send a request and read the head of its answer."""
    reader, writer = streams
    fields = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    head = [f"{method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items())]
    if any("\r" in line or "\n" in line for line in head):
        raise ValueError("a line break in a request's head")
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await writer.drain()
    version, _, rest = (await _line(reader)).partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
        raise BrokenAnswer("what answers does not speak HTTP")
    found: dict[str, str] = {}
    for _ in range(MOST_HEADERS):
        line = await _line(reader)
        if not line:
            return Answer(int(status), found, reader)
        name, _, text = line.partition(":")
        found[name.strip().lower()] = text.strip()
    raise BrokenAnswer("an answer with too many headers")


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        raise BrokenAnswer("the answer ended too early") from None
    except asyncio.LimitOverrunError:
        raise BrokenAnswer("a line of the answer is too long") from None
    return line.decode("latin-1").rstrip("\r\n")
