"""Chance by name: each source of it has a stream of its own, and one seed gives them all.

A draw from one stream changes no other, so a world that loses one fault or gains one link stays the
same everywhere else. That is what makes a failing seed shrink.
"""

from __future__ import annotations

import random


class Streams:
    """Streams of random numbers by name. ``Streams(7)("link n1 > head")`` is the same in every run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, random.Random] = {}

    def __call__(self, name: str) -> random.Random:
        """The stream of that name, where it stands now."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = random.Random(f"{self.seed} {name}")
        return stream
