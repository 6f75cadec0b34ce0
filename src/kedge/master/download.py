"""One file over HTTP, whatever its size, in bounded memory and with bounded waits."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from kedge.lib.errors import KedgeError

SILENCE_S = 30.0
_PIECE_BYTES = 1 << 20


async def download(url: str, target: Path) -> None:
    """Write what ``url`` gives to ``target``; raises `KedgeError`. The caller checks the content."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise KedgeError("download.refused", f"the answer is {response.status}", where=url)
            with target.open("wb") as file:
                async for piece in response.content.iter_chunked(_PIECE_BYTES):
                    file.write(piece)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = str(error) or type(error).__name__
        raise KedgeError("download.failed", "a file did not come", where=url, why=why) from None
