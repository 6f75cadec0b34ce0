"""Python's search for cyclic garbage, told what a master knows: the site lives long and holds no cycles.

A hundred thousand nodes are millions of objects, and the collector would walk over all of them again
and again while nodes boot: a third of the head's work, to find nothing.
"""

from __future__ import annotations

import gc

YOUNG = 10_000
"""So many new objects are looked at together (Python's own choice: 700)."""
LONG_LIVED_NODES = 1_000


def collect_seldom() -> None:
    """Once, when a master starts."""
    gc.set_threshold(YOUNG, 10, 10)


def lives_long(nodes: int) -> None:
    """So many nodes were just configured: what there is now is not walked over any more. It is freed
    as ever when nobody refers to it."""
    if nodes >= LONG_LIVED_NODES:
        gc.collect(1)
        gc.freeze()
