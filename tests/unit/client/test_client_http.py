"""The client's own HTTP: bodies in every form and in any pieces, and servers that speak nonsense."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.client.http import Answer, BrokenAnswer, ask

BODY = b"hello, " * 9
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 63\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7;x=y\r\nhello, \r\n38\r\n" + BODY[7:] + b"\r\n0\r\n\r\n"
)
TO_THE_END = b"HTTP/1.0 200 OK\r\n\r\n" + BODY


class Sink:
    """A writer that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, piece: bytes) -> None:
        self.sent += piece

    async def drain(self) -> None:
        """Nothing waits."""


async def answered(pieces: list[bytes]) -> tuple[Answer, bytes]:
    reader, sink = asyncio.StreamReader(), Sink()

    async def feed() -> None:
        for piece in pieces:
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.create_task(feed())
    try:
        answer = await ask((reader, sink), "GET", "/v1/about", {"Host": "kedge"}, b"")  # type: ignore[arg-type]
        return answer, await answer.read()
    finally:
        await feeding
        assert sink.sent.startswith(b"GET /v1/about HTTP/1.1\r\nHost: kedge\r\n")


@pytest.mark.parametrize("raw", [LENGTH, CHUNKED, TO_THE_END])
@given(step=st.integers(1, 120))
def test_a_body_comes_whole_in_any_pieces(raw: bytes, step: int) -> None:
    pieces = [raw[at : at + step] for at in range(0, len(raw), step)]
    answer, body = asyncio.run(answered(pieces))
    assert answer.status == 200 and body == BODY


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 65 + b"\r\n",
    ],
)
def test_nonsense_is_a_broken_answer(raw: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        asyncio.run(answered([raw]))


def test_a_line_break_never_gets_into_a_request() -> None:
    async def send() -> None:
        await ask((asyncio.StreamReader(), Sink()), "GET", "/x", {"A": "b\r\nC: d"}, b"")  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="line break"):
        asyncio.run(send())


def test_the_client_imports_no_http_library() -> None:
    code = "import sys, kedge.cli.node, kedge.client.client; print('aiohttp' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
