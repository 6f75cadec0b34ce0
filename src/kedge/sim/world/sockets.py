"""Sockets of simulated machines: what a parent's asyncio transport and an agent's plain socket need."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from kedge.sim.world.loop import Loop
from kedge.sim.world.network import Address, Network

BUFFERED_DATAGRAMS = 25_000
"""What 32 MB of receive buffer hold; beyond that the kernel drops."""


class ServerSocket:
    """A bound UDP socket of a process that runs on a `Loop`; `Loop.create_datagram_endpoint` takes it."""

    def __init__(
        self, network: Network, address: Address, heard: Callable[[Address], None]
    ) -> None:
        self._network = network
        self._address = address
        self._heard = heard

    def transport(self, protocol: asyncio.DatagramProtocol, loop: Loop) -> ServerTransport:
        """Bind it to a protocol; ``heard`` is told of each datagram that this has read."""
        return ServerTransport(self._network, self._address, protocol, loop, self._heard)


class ServerTransport(asyncio.DatagramTransport):
    """The datagram transport of one socket."""

    def __init__(
        self,
        network: Network,
        address: Address,
        protocol: asyncio.DatagramProtocol,
        loop: Loop,
        heard: Callable[[Address], None],
    ) -> None:
        super().__init__()
        self._heard = heard
        self._network = network
        self._address = address
        self._protocol = protocol
        self._loop = loop
        self._buffered = 0
        network.open(address, self._receive)

    def _receive(self, datagram: bytes, source: Address) -> None:
        if not self._loop.alive:
            self._network.close(self._address, self._receive)
        elif self._buffered < BUFFERED_DATAGRAMS:
            self._buffered += 1
            self._loop.call_soon(self._read, datagram, source)

    def _read(self, datagram: bytes, source: Address) -> None:
        self._buffered -= 1
        self._protocol.datagram_received(datagram, source)
        self._heard(source)

    def sendto(self, data: bytes | bytearray | memoryview, addr: object = None) -> None:
        if self._loop.alive and isinstance(addr, tuple):
            host, port = addr  # pyright: ignore[reportUnknownVariableType]
            self._network.send(self._address, (str(host), int(port)), bytes(data))  # pyright: ignore[reportUnknownArgumentType]

    def close(self) -> None:
        self._network.close(self._address, self._receive)


class PlainSocket:
    """A bound UDP socket that never blocks; ``woken`` is called when something has come."""

    def __init__(self, network: Network, address: Address, woken: Callable[[], None]) -> None:
        self._network = network
        self._address = address
        self._woken = woken
        self._queue: deque[tuple[bytes, Address]] = deque(maxlen=BUFFERED_DATAGRAMS)
        network.open(address, self._receive)

    def _receive(self, datagram: bytes, source: Address) -> None:
        self._queue.append((datagram, source))
        self._woken()

    def sendto(self, datagram: bytes, target: Address) -> int:
        """Send."""
        self._network.send(self._address, (target[0], target[1]), datagram)
        return len(datagram)

    def recvfrom(self, size: int) -> tuple[bytes, Address]:
        """The next datagram; raises `BlockingIOError` when there is none."""
        if not self._queue:
            raise BlockingIOError
        return self._queue.popleft()

    def close(self) -> None:
        """Receive nothing any more."""
        self._network.close(self._address, self._receive)
