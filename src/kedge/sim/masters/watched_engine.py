"""The production engine, whose effects are looked at before anybody carries them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kedge.core.engine.engine import Engine
from kedge.core.events import Effect, Event, Many, each
from kedge.core.graph import Graph


class WatchedEngine(Engine):
    """An `Engine` that shows what it does to ``watch``, each effect by itself."""

    def __init__(
        self, watch: Callable[[list[Effect]], None], graph: Graph, seed: int, restart: int
    ) -> None:
        super().__init__(graph, seed=seed, restart=restart)
        self._watch = watch

    def advance(self, events: Iterable[Event], now: float) -> list[Effect | Many]:
        found = super().advance(events, now)
        single: list[Effect] = []
        for effect in found:
            single += each(effect) if isinstance(effect, Many) else (effect,)
        if single:
            self._watch(single)
        return found
