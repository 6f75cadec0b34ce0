"""A seeded generator (splitmix64), so that a seed reproduces every jitter."""

from __future__ import annotations

_MASK = (1 << 64) - 1


class Chance:
    """Uniform numbers from a seed."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def uniform(self, least: float, most: float) -> float:
        """A number from ``least`` to ``most``."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return least + (most - least) * ((z ^ (z >> 31)) >> 11) / (1 << 53)
