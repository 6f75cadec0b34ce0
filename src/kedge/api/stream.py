"""The event stream: each message is encoded once for all who watch, and nobody can slow the others.

A watcher has a bounded queue. When it overflows its messages are dropped and it is told ``lagged``;
lines of the log are then read again from the store, so that they are never lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kedge.api.encoding import encoded
from kedge.lib.errors import KedgeError
from kedge.master.persistence.journal import event_rows
from kedge.stores.port import Entry

if TYPE_CHECKING:
    from kedge.master.operations.operations import Operations

MOST_WATCHERS = 200
QUEUE = 4000
GATHER_S = 0.05
KEEP_ALIVE_S = 15.0
REPLAY = 1000


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as it goes over the wire; ``seq`` is that of a line of the log, else 0."""

    topic: str
    seq: int
    raw: bytes


def frame(topic: str, message: Mapping[str, Any]) -> Frame:
    """Encode a message as a server-sent event (WHATWG HTML, 9.2)."""
    seq = int(message.get("seq", 0)) if topic == "event" else 0
    head = f"id: {seq}\n" if seq else ""
    data = encoded(message)
    return Frame(topic, seq, f"{head}event: {topic}\ndata: ".encode() + data + b"\n\n")


LAGGED = frame("lagged", {})
KEEP_ALIVE = b": \n\n"


@dataclass(eq=False)
class Subscriber:
    """One who watches; ``topics`` empty means all."""

    topics: frozenset[str]
    waiting: deque[Frame] = field(default_factory=deque[Frame])
    lagged: bool = False
    ended: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, one: Frame) -> None:
        """Queue a frame that it wants, or give up its queue when it is full."""
        if one.topic == "lagged" or len(self.waiting) >= QUEUE:
            self.waiting.clear()
            self.lagged = True
        elif not self.topics or one.topic in self.topics:
            self.waiting.append(one)
        else:
            return
        self.news.set()


class Streams:
    """All who watch. `run` lasts as long as the API."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._subscribers: set[Subscriber] = set()

    async def run(self) -> None:
        """Hand every message of the journal to everybody who watches."""
        with self._operations.journal.watch() as watcher:
            async for topic, message in watcher.messages():
                if self._subscribers:
                    rows = event_rows(message) if isinstance(message, Entry) else [message]
                    for one in [frame(topic, row) for row in rows]:
                        for subscriber in self._subscribers:
                            subscriber.offer(one)

    def end(self) -> None:
        """Let every stream end."""
        for subscriber in self._subscribers:
            subscriber.ended = True
            subscriber.news.set()

    @contextmanager
    def subscribed(self, topics: frozenset[str]) -> Generator[Subscriber]:
        """Watch for as long as the block lasts; raises `KedgeError` when too many do."""
        if len(self._subscribers) >= MOST_WATCHERS:
            raise KedgeError(
                "api.busy", f"{MOST_WATCHERS} watch already", next_step="Try again later"
            )
        subscriber = Subscriber(topics)
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    async def chunks(self, subscriber: Subscriber, last_seq: int) -> AsyncIterator[bytes]:
        """What to write, piece by piece; ``last_seq`` above 0 replays the log behind it first."""
        wants_events = not subscriber.topics or "event" in subscriber.topics
        last = last_seq or self._newest()
        yield b"retry: 1000\n\n"
        if last_seq and wants_events:
            async for seq, chunk in self._replay(last):
                last = seq
                yield chunk
        while not subscriber.ended:
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await subscriber.news.wait()
            except TimeoutError:
                yield KEEP_ALIVE
                continue
            await asyncio.sleep(GATHER_S)
            subscriber.news.clear()
            frames, subscriber.waiting = subscriber.waiting, deque()
            if subscriber.lagged:
                subscriber.lagged = False
                yield LAGGED.raw
                if wants_events:
                    async for seq, chunk in self._replay(last):
                        last = seq
                        yield chunk
            fresh = [one for one in frames if not one.seq or one.seq > last]
            last = max((one.seq for one in fresh), default=last) or last
            yield b"".join(one.raw for one in fresh)

    def _newest(self) -> int:
        rows = self._operations.events(limit=1)
        return int(rows[-1]["seq"]) if rows else 0

    async def _replay(self, last: int) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            rows = self._operations.events(after=last, limit=REPLAY)
            if rows:
                last = rows[-1]["seq"]
                yield last, b"".join(frame("event", row).raw for row in rows)
            if len(rows) < REPLAY:
                return
            await asyncio.sleep(0)
