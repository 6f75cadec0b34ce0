"""What each plain node has of its own, in columns: the number of its cell, and its times.

A row is a node. Rows of nodes that are particular or gone have cell -1. The columns grow by doubling;
the number of slots grows to the widest cell there ever was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int32]
Serials = NDArray[np.int64]

APART = -1
"""The cell of a row without one."""


class Columns:
    """``since`` (of the phase), ``episode_since``, ``configured_at`` and ``stamps`` are in seconds.

    ``stamps[row, slot]`` is when a step began, or until when an answer is waited for; ``serials`` are
    the numbers of the steps (0: not a step). ``bucket`` spreads the polls.
    """

    def __init__(self, rows: int = 64, slots: int = 4) -> None:
        self.cell = np.full(rows, APART, np.int32)
        self.differs = np.zeros(rows, np.bool_)
        self.bucket = np.zeros(rows, np.uint8)
        self.alive = np.zeros(rows, np.bool_)
        self.since = np.zeros(rows)
        self.episode_since = np.zeros(rows)
        self.configured_at = np.zeros(rows)
        self.stamps = np.zeros((rows, slots))
        self.serials = np.zeros((rows, slots), np.int64)

    @property
    def rows(self) -> int:
        """How many there is room for."""
        return len(self.cell)

    def grow(self) -> None:
        """Make room for as many rows again."""
        more = self.rows
        for name in ("differs", "bucket", "alive", "since", "episode_since", "configured_at"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros(more, old.dtype)]))
        self.cell = np.concatenate([self.cell, np.full(more, APART, np.int32)])
        slots = self.stamps.shape[1]
        self.stamps = np.concatenate([self.stamps, np.zeros((more, slots))])
        self.serials = np.concatenate([self.serials, np.zeros((more, slots), np.int64)])

    def widen(self, slots: int) -> None:
        """Make room for ``slots`` times in each row."""
        more = slots - self.stamps.shape[1]
        if more > 0:
            self.stamps = np.concatenate([self.stamps, np.zeros((self.rows, more))], axis=1)
            self.serials = np.concatenate(
                [self.serials, np.zeros((self.rows, more), np.int64)], axis=1
            )
