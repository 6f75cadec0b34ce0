"""The journal: every change goes to the append-only log and to everybody who watches right now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.master.persistence.gathering import Gathering
from kedge.master.process.clock import Clock
from kedge.stores.port import Entry, LoggedEvent, Note, Store

FLUSH_AFTER_S = 0.05
AGAIN_S = 5.0
MOST_UNWRITTEN = 20_000
"""Entries that wait for a disk that cannot be written; beyond that the oldest are lost."""
FAILING = "log"
MOST_MENTIONS = 50_000
WATCHER_QUEUE = 2000

Message = tuple[str, Mapping[str, Any] | Entry]
"""A topic (``event``, ``node``, ``image``, ``lagged``) and what there is to say; of the topic ``event``
an entry, to be folded by `event_rows` only where somebody wants to read it."""


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

    def taken(self) -> list[Message]:
        """Everything that was said since the last time; where some was lost, that is said first."""
        found: list[Message] = [("lagged", {})] if self._lagged else []
        self._lagged = False
        while not self._queue.empty():
            found.append(self._queue.get_nowait())
        return found

    async def messages(self) -> AsyncIterator[Message]:
        """Everything that is said from now on."""
        while True:
            message = await self._queue.get()
            if self._lagged and self._queue.empty():
                self._lagged = False
                yield "lagged", {}
            yield message


class Journal:
    """Gathers what happens for a moment, then writes it in one transaction. What cannot be written is
    kept and tried again; ``failing`` is where that is told."""

    def __init__(self, store: Store, clock: Clock, failing: dict[str, str] | None = None) -> None:
        self._store = store
        self._clock = clock
        self._failing: dict[str, str] = {} if failing is None else failing
        self._unwritten: list[Entry] = []
        self._lost = 0
        self._gathering = Gathering()
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: set[Watcher] = set()

    def write(
        self, node: str, what: str, subject: str, before: str = "", after: str = "", cause: str = ""
    ) -> None:
        """Append one event."""
        note = Note(what, subject, before, after, cause)
        self.add((node,) if node else (), (note,))

    def add(self, nodes: tuple[str, ...], notes: tuple[Note, ...]) -> None:
        """Append events that hold for each of ``nodes`` (none of them twice)."""
        self.relay(self._clock.wall(), nodes, notes)

    def relay(self, at: float, nodes: tuple[str, ...], notes: tuple[Note, ...]) -> None:
        """Append events that happened at the moment ``at``, elsewhere."""
        self._gathering.add(at, nodes, notes)
        if self._gathering.mentions >= MOST_MENTIONS and not self._unwritten:
            self.flush()
        elif self._timer is None:
            self._flush_after(FLUSH_AFTER_S)

    def _flush_after(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.flush)

    def flush(self) -> None:
        """Write what is gathered, and tell the watchers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._gathering and not self._unwritten:
            return
        entries = [*self._unwritten, *self._gathering.take()]
        try:
            last = self._store.append(entries)
        except KedgeError as error:
            self._keep(entries, error)
            return
        self._unwritten = []
        self._failing.pop(FAILING, None)
        if self._watchers:
            seq = last + 1 - sum(len(entry.notes) for entry in entries)
            for entry in entries:
                self.publish("event", replace(entry, seq=seq))
                seq += len(entry.notes)

    def _keep(self, entries: list[Entry], error: KedgeError) -> None:
        """Try again later; where there are too many, the oldest are lost."""
        self._unwritten = entries[-MOST_UNWRITTEN:]
        self._lost += len(entries) - len(self._unwritten)
        lost = f"; {self._lost} of its oldest entries are lost" if self._lost else ""
        self._failing[FAILING] = f"{error}{lost}"
        self._flush_after(AGAIN_S)

    def close(self) -> None:
        """Write what is left, if that is possible."""
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._watchers)

    def publish(self, topic: str, message: Mapping[str, Any] | Entry) -> None:
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


def event_row(event: LoggedEvent) -> dict[str, Any]:
    """An event as people get it. ``node`` is the node's name where it speaks of one only."""
    alone = "," not in event.nodes and "[" not in event.nodes
    return {
        "seq": event.seq,
        "at": event.at,
        "nodes": event.nodes,
        "node": event.nodes if alone else "",
        "what": event.what,
        "subject": event.subject,
        "before": event.before,
        "after": event.after,
        "cause": event.cause,
    }


def event_rows(entry: Entry) -> list[dict[str, Any]]:
    """The events of an entry that was just written."""
    nodes = fold(entry.nodes)
    return [
        event_row(LoggedEvent(entry.at, nodes, *note, seq))
        for seq, note in enumerate(entry.notes, entry.seq)
    ]
