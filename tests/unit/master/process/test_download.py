"""Copying a file from the master: not longer than it is said to be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from kedge.lib.errors import KedgeError
from kedge.master.process.download import download


async def test_a_file_that_is_longer_than_it_may_be_is_given_up(tmp_path: Path) -> None:
    async def give(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 3_000_000)

    application = web.Application()
    application.router.add_get("/blob", give)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/blob"
        await download(url, tmp_path / "whole", 3_000_000)
        with pytest.raises(KedgeError) as caught:
            await download(url, tmp_path / "part", 2_000_000)
    finally:
        await runner.cleanup()
    assert caught.value.code == "download.too_long"
    size = await asyncio.to_thread((tmp_path / "whole").stat)
    assert size.st_size == 3_000_000
