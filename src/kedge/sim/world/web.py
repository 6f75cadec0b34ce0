"""HTTP between simulated machines: a question over a connection, its answer, and the bytes behind it.

Servers are production request handlers inside their own process; only the sockets are not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from kedge.sim.world.loop import Loop
from kedge.sim.world.network import Address, Network

TIMEOUT_S = 20.0
CHUNK_S = 1.0
NODE_BYTES_PER_S = 110e6
SERVER_BYTES_PER_S = 1.1e9


class Answer(NamedTuple):
    """What a server answered; ``size_bytes`` follow it, which are the content of ``path``."""

    status: int
    text: str = ""
    size_bytes: int = 0
    path: Path | None = None


class Server(NamedTuple):
    """A listening server: its process and ``async def answer(path, remote)``."""

    loop: Loop
    answer: Callable[[str, str], Awaitable[Answer]]


class Web:
    """All servers, by address."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._servers: dict[Address, Server] = {}
        self._busy: dict[Address, int] = {}

    def listen(self, address: Address, server: Server) -> None:
        """A server listens from now on, until its process is dead."""
        self._servers[address] = server

    async def get(self, client: str, remote: str, url: str) -> Answer:
        """Ask from the end ``client`` at the address ``remote``; raises `OSError`."""
        address, path = split(url)
        end = self._network.end_at(address[0])
        trip_s = await self._way(client, end)
        await asyncio.sleep(trip_s / 2)
        server = self._servers.get(address)
        if server is None or not server.loop.alive:
            raise ConnectionRefusedError("connection refused")
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        server.loop.enter(_begin, server, path, remote, answered)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await answered
        except TimeoutError:
            raise OSError("no answer in time") from None
        await asyncio.sleep(trip_s / 2 + await self._way(client, end))
        return answer

    async def download(self, client: str, remote: str, url: str) -> Answer:
        """Ask, and take all bytes of the answer; raises `OSError` when the connection breaks off."""
        answer = await self.get(client, remote, url)
        address, _ = split(url)
        left = float(answer.size_bytes)
        self._busy[address] = self._busy.get(address, 0) + 1
        try:
            while left > 0:
                rate = min(NODE_BYTES_PER_S, SERVER_BYTES_PER_S / self._busy[address])
                await asyncio.sleep(min(CHUNK_S, left / rate))
                left -= rate * CHUNK_S
                server = self._servers.get(address)
                if server is None or not server.loop.alive:
                    raise ConnectionResetError("connection reset")
                await self._way(client, self._network.end_at(address[0]))
        finally:
            self._busy[address] -= 1
        return answer

    async def _way(self, client: str, end: str) -> float:
        """How long a round trip takes now; waits for a way as long as a connection would."""
        waited_s = 0.0
        while waited_s < TIMEOUT_S:
            trip_s = self._network.round_trip_s(client, end)
            if trip_s is not None:
                return trip_s
            await asyncio.sleep(1.0)
            waited_s += 1.0
        raise OSError("timed out")


def _begin(server: Server, path: str, remote: str, answered: asyncio.Future[Answer]) -> None:
    task = asyncio.ensure_future(server.answer(path, remote))

    def done(task: asyncio.Future[Answer]) -> None:
        if not answered.done() and not task.cancelled() and server.loop.alive:
            answered.set_result(task.result())

    task.add_done_callback(done)


def split(url: str) -> tuple[Address, str]:
    """Address and path of ``http://10.77.0.1:8080/boot/...``."""
    where, _, path = url.removeprefix("http://").partition("/")
    host, _, port = where.rpartition(":")
    return (host.strip("[]"), int(port)), f"/{path}"
