"""A running API over a fake master, in a thread of its own, for commands that run as users run them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_master import FakeOperations, fake_serving


class Served:
    """The fake master and where it is."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.operations = FakeOperations()
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def serve() -> None:
            async with fake_serving(self.state_dir) as self.operations:
                self._ready.set()
                await self._stop.wait()

        self.loop.run_until_complete(serve())
        self.loop.close()

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("KEDGE_API", str(state / "api.sock"))
    monkeypatch.setenv("KEDGE_TOKEN_FILE", str(state / "api.token"))
    monkeypatch.delenv("KEDGE_CONFIG", raising=False)
    with Served(state) as served:
        yield served
