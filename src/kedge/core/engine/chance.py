"""Numbers by chance that a seed reproduces, whatever the order in which anybody draws them."""

from __future__ import annotations

import hashlib


class Chance:
    """Uniform numbers from a seed and a text that says what they are for."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.drawn = 0
        """How often anybody drew."""

    def uniform(self, least: float, most: float, purpose: str) -> float:
        """A number from ``least`` to ``most``: the same for the same purpose."""
        self.drawn += 1
        text = f"{self._seed}/{purpose}".encode()
        number = int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big") >> 3
        return least + (most - least) * number / (1 << 53)
