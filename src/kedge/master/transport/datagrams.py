"""UDP on the loop, many datagrams at a turn: what the parents of the sync listen on.

asyncio's own transport reads one datagram for each turn of its loop, which costs several times what
the datagram itself costs; so would a call for each, see `kedge.master.transport.many`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from kedge.master.transport.many import AT_ONCE, Address, Batch, Calls

Received = Callable[[Batch], None]

A_TURN = 256
"""Datagrams that are read before the loop's other work has its turn."""
WAITING_MAX = 65_536
"""Datagrams that wait for room in the socket's buffer; beyond that the sync sends them again."""


class Port(Protocol):
    """Where datagrams go out."""

    def send(self, batch: Batch) -> None: ...
    def close(self) -> None: ...


async def listen(sock: Any, received: Received) -> Port:
    """Read from a bound socket on the running loop. A simulated one brings an asyncio transport."""
    if isinstance(sock, socket.socket):
        return SocketPort(sock, received)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _One(received), sock=sock)
    return TransportPort(transport)


class SocketPort:
    """A real socket, read and written in batches."""

    def __init__(self, sock: socket.socket, received: Received) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._calls = Calls(sock)
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._loop.add_reader(sock, self._read)

    def _read(self) -> None:
        for _ in range(A_TURN // AT_ONCE):
            batch = self._calls.receive()
            if batch:
                self._received(batch)
            if len(batch) < AT_ONCE:
                break

    def send(self, batch: Batch) -> None:
        """Send, or keep for when the socket's buffer has room."""
        if self._waiting:
            self._keep(batch)
            return
        sent = 0
        while sent < len(batch):
            try:
                sent += self._calls.send(batch[sent : sent + AT_ONCE])
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._go_on)
                self._keep(batch[sent:])
                return
            except OSError:  # the network is away, or has no way to the address: the sync goes on
                sent += 1

    def _keep(self, batch: Batch) -> None:
        self._waiting.extend(batch[: WAITING_MAX - len(self._waiting)])

    def _go_on(self) -> None:
        self._loop.remove_writer(self._sock)
        batch, self._waiting = list(self._waiting), deque()
        self.send(batch)

    def close(self) -> None:
        """Read nothing any more; what still waits is sent if it goes at once."""
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()


class _One(asyncio.DatagramProtocol):
    """Hands on what a transport receives."""

    def __init__(self, received: Received) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._received([(data, addr[:2])])


class TransportPort:
    """An asyncio transport."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def send(self, batch: Batch) -> None:
        """Send."""
        for datagram, address in batch:
            self._transport.sendto(datagram, address)

    def close(self) -> None:
        """Close the socket."""
        self._transport.close()
