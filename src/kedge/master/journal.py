"""The journal: every change goes to the append-only log and to everybody who watches right now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from kedge.master.clock import Clock
from kedge.stores.port import LoggedEvent, Store

FLUSH_AFTER_S = 0.05
WATCHER_QUEUE = 2000

Message = tuple[str, Mapping[str, Any]]
"""A topic (``event``, ``node``, ``image``, ``lagged``) and what there is to say."""


class Watcher:
    """One who watches. A watcher that is too slow loses messages and is told so (``lagged``)."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue(WATCHER_QUEUE)
        self._lagged = False

    def offer(self, message: Message) -> None:
        """Queue a message, or remember that one was lost."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._lagged = True

    async def messages(self) -> AsyncIterator[Message]:
        """Everything that is said from now on."""
        while True:
            message = await self._queue.get()
            if self._lagged and self._queue.empty():
                self._lagged = False
                yield "lagged", {}
            yield message


class Journal:
    """Collects events for a moment, then writes them in one transaction."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._unwritten: list[LoggedEvent] = []
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: set[Watcher] = set()

    def write(
        self, node: str, what: str, subject: str, before: str = "", after: str = "", cause: str = ""
    ) -> None:
        """Append one event."""
        event = LoggedEvent(self._clock.wall(), node, what, subject, before, after, cause)
        self._unwritten.append(event)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_AFTER_S, self.flush)

    def flush(self) -> None:
        """Write what is collected, and tell the watchers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        events, self._unwritten = self._unwritten, []
        if not events:
            return
        last = self._store.append(events)
        for seq, event in enumerate(events, last - len(events) + 1):
            self.publish("event", event_row(event, seq))

    def publish(self, topic: str, message: Mapping[str, Any]) -> None:
        """Tell those who watch now; nothing is kept."""
        for watcher in self._watchers:
            watcher.offer((topic, message))

    @contextmanager
    def watch(self) -> Generator[Watcher]:
        """Watch for as long as the block lasts."""
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)


def event_row(event: LoggedEvent, seq: int = 0) -> dict[str, Any]:
    """An event as people get it."""
    return {
        "seq": seq or event.seq,
        "at": event.at,
        "node": event.node,
        "what": event.what,
        "subject": event.subject,
        "before": event.before,
        "after": event.after,
        "cause": event.cause,
    }
