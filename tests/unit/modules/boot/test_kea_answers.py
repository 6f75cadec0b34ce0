"""A control socket that answers without an end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.boot import kea


async def test_an_answer_without_an_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kea, "MAX_ANSWER_BYTES", 1 << 20)
    sent = 0

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            for _ in range(64):
                writer.write(b" " * (1 << 20))
                await writer.drain()
                sent += 1
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "kea.sock")
    async with server:
        with pytest.raises(KedgeError) as caught:
            await kea.command(tmp_path / "kea.sock", "version-get")
    assert caught.value.code == "boot.dhcp_answer"
    assert sent < 10
