"""One file over HTTP, as large as it may be, in bounded memory and with bounded waits."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from kedge.lib.errors import KedgeError

SILENCE_S = 30.0
_PIECE_BYTES = 1 << 20


async def download(url: str, target: Path, most_bytes: int) -> None:
    """Write what ``url`` gives to ``target``; raises `KedgeError`, also where more than ``most_bytes``
    come. The caller checks the content."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise KedgeError("download.refused", f"the answer is {response.status}", where=url)
            left = most_bytes
            with target.open("wb") as file:
                async for piece in response.content.iter_chunked(_PIECE_BYTES):
                    left -= len(piece)
                    if left < 0:
                        raise KedgeError(
                            "download.too_long", f"more than {most_bytes} bytes came", where=url,
                            next_step="It is tried again; look at what answers there",
                        )  # fmt: skip
                    file.write(piece)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = str(error) or type(error).__name__
        raise KedgeError("download.failed", "a file did not come", where=url, why=why) from None
