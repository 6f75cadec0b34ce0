"""One end of the state sync on the event loop: its socket, its timer, and who hears its events.

The ends are pure (`kedge.sync.parent`, `kedge.sync.child`). Events are told before anything is sent:
what is sent may say that they were heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from kedge.master.process.alarm import Alarm
from kedge.master.process.clock import Clock
from kedge.master.transport import datagrams
from kedge.master.transport.datagrams import Port
from kedge.master.transport.many import Batch

Event = TypeVar("Event")
Told = TypeVar("Told", covariant=True)


class End(Protocol[Told]):
    """A parent or a child."""

    def receive(self, batch: Batch, now: float) -> None: ...
    def datagrams_to_send(self, now: float) -> Batch: ...
    def next_timeout(self) -> float | None: ...
    def next_event(self) -> Told | None: ...
    def close(self) -> None: ...


class Pump(Generic[Event]):
    """Drives an end; each of its events goes to ``told``."""

    def __init__(self, end: End[Event], clock: Clock, told: Callable[[Event], None]) -> None:
        self._end = end
        self._clock = clock
        self._told = told
        self._port: Port | None = None
        self._alarm = Alarm(clock, self._turn)
        self._turn_due = False

    async def open(self, sock: Any) -> None:
        """Begin, on a bound socket."""
        self._port = await datagrams.listen(sock, self._receive)
        self._turn()

    def soon(self) -> None:
        """The end may have something to say: look after what runs now."""
        if not self._turn_due and self._port is not None:
            self._turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def close(self) -> None:
        """Say good-bye, so that the other ends know at once, and close the socket."""
        self._alarm.cancel()
        if self._port is not None:
            self._end.close()
            self._port.send(self._end.datagrams_to_send(self._clock.now()))
            self._port.close()
            self._port = None

    def _receive(self, batch: Batch) -> None:
        self._end.receive(batch, self._clock.now())
        self.soon()

    def _turn(self) -> None:
        self._turn_due = False
        self._tell()
        if self._port is None:
            return
        self._port.send(self._end.datagrams_to_send(self._clock.now()))
        self._tell()
        self._alarm.set(self._end.next_timeout())

    def _tell(self) -> None:
        while (event := self._end.next_event()) is not None:
            self._told(event)
