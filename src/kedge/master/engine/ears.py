"""The head's ears: what is told goes to the engine in order, and what is told within a moment together.

A person's word and a failure are taken in at once, observations after a short while in which others
may follow. Whoever asks for the engine gets one that knows all that was told before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from kedge.core.engine.engine import Engine
from kedge.core.events import ConfiguredMany, Effect, Event, Many, ObservedMany, Tick
from kedge.core.graph import Graph
from kedge.master.engine.telling import Moment
from kedge.master.process.alarm import Alarm
from kedge.master.process.clock import Clock

GATHER_S = 0.01
"""So long observations wait for others, while they come one after another."""
MOST_GATHERED = 20_000


class Ears:
    """Feeds one engine; ``send`` carries out what it wants. It lives in the event loop."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        moment: Moment,
        send: Callable[[Iterable[Effect | Many]], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._moment = moment
        self._send = send
        self._events: list[Event] = []
        self._run: ObservedMany | None = None
        self._speakers: list[str] = []
        self._gathered = 0
        self._draining = False
        self._soon: asyncio.TimerHandle | None = None
        self._settled_at = 0.0
        self._alarm = Alarm(clock, self._tick)
        self.first: Callable[[], Iterable[Event]] = tuple
        """What the engine must know before anything else that it is told now: that a lease has run out."""

    @property
    def engine(self) -> Engine:
        """The engine, which knows all that was told so far."""
        self.settle()
        return self._engine

    def tell(self, events: Iterable[Event], *, at_once: bool = True) -> None:
        """Tell the engine, and send out all that follows; or with the next that is told ``at_once``."""
        self._events += events
        self._run = None
        if at_once:
            self.settle()

    def settle(self) -> None:
        """Have the engine take in, in order, all that was told, and send out what follows from it."""
        if self._draining or not self._events:
            return
        self._draining = True
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        try:
            while self._events:
                events, self._events = self._events, []
                self._run, self._gathered = None, 0
                self._moment.end()
                self._send(self._engine.advance((*self.first(), *events), self._clock.now()))
        finally:
            self._draining = False
        self._set_alarm()

    def adopt(self, graph: Graph, told: Iterable[ConfiguredMany]) -> None:
        """Have the engine go over to another graph, after all that was told before."""
        self.settle()
        self._draining = True
        try:
            self._send(self._engine.adopt(graph, told, self._clock.now()))
        finally:
            self._draining = False
        self.settle()
        self._set_alarm()

    def gather(self, name: str, symbols: Mapping[str, str], by: str, *, fresh: bool) -> None:
        """Tell the engine soon: what many nodes say within a moment is taken in together. Who speaks
        into a silence is heard at once."""
        run = self._run
        if run and (run.values, run.by, run.fresh) == (symbols, by, fresh):
            self._speakers.append(name)
        else:
            self._speakers = [name]
            self._run = ObservedMany(self._speakers, symbols, by, fresh)
            self._events.append(self._run)
        self._gathered += 1
        if self._draining:
            return
        if self._gathered >= MOST_GATHERED:
            self.settle()
        elif self._soon is None:
            loop = asyncio.get_running_loop()
            quiet_s = loop.time() - self._settled_at
            self._soon = loop.call_later(GATHER_S if quiet_s < GATHER_S else 0.0, self.settle)

    def _set_alarm(self) -> None:
        self._settled_at = asyncio.get_running_loop().time()
        self._alarm.set(self._engine.next_timeout())

    def _tick(self) -> None:
        self.tell((Tick(),))

    def close(self) -> None:
        """Start nothing any more."""
        self._alarm.cancel()
        if self._soon is not None:
            self._soon.cancel()
