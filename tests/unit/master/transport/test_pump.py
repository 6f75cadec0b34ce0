"""An end of the sync on the loop: what it hears is told before it speaks, and it speaks when it is due."""

from __future__ import annotations

import asyncio
import socket

from kedge.master.process.clock import Clock
from kedge.master.transport.many import Batch
from kedge.master.transport.pump import Pump


class Echo:
    """Answers what it hears, greets whom it knows when its time comes, and notes what is done with it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.out: Batch = []
        self.events: list[str] = []
        self.due: float | None = None
        self.peer: tuple[str, int] | None = None

    def receive(self, batch: Batch, now: float) -> None:
        for datagram, self.peer in batch:
            self.events.append(f"heard {datagram.decode()}")
            self.out.append((datagram.upper(), self.peer))

    def datagrams_to_send(self, now: float) -> Batch:
        if self.due is not None and now >= self.due and self.peer is not None:
            self.out.append((b"still here", self.peer))
            self.due = None
        out, self.out = self.out, []
        self.log += [f"sent {datagram.decode()}" for datagram, _ in out]
        return out

    def next_timeout(self) -> float | None:
        return self.due

    def next_event(self) -> str | None:
        return self.events.pop(0) if self.events else None

    def close(self) -> None:
        assert self.peer is not None
        self.out.append((b"bye", self.peer))


def udp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.settimeout(5.0)
    return opened


def test_an_end_hears_tells_speaks_and_says_good_bye():
    async def work() -> None:
        ours, theirs, end, clock = udp(), udp(), Echo(), Clock()
        pump = Pump(end, clock, end.log.append)
        pump.soon()  # not open yet: nothing happens
        await pump.open(ours)
        for said in (b"a", b"b"):
            theirs.sendto(said, ours.getsockname())
        await asyncio.sleep(0.05)
        assert end.log == ["heard a", "heard b", "sent A", "sent B"]
        assert [theirs.recv(10) for _ in range(2)] == [b"A", b"B"]
        end.due = clock.now() + 0.05
        pump.soon()
        pump.soon()
        await asyncio.sleep(0.02)
        assert len(end.log) == 4  # its time has not come
        await asyncio.sleep(0.1)
        assert theirs.recv(20) == b"still here"
        pump.close()
        assert theirs.recv(10) == b"bye"
        pump.soon()
        pump.close()
        await asyncio.sleep(0.01)
        assert end.log[4:] == ["sent still here", "sent bye"]
        theirs.close()

    asyncio.run(work())
