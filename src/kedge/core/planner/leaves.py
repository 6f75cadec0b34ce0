"""How leaves move by themselves between two centre actions, computed once for all leaves that are alike.

Thirty services that differ in their names only are one *kind*, and what the centre allows one of them
to do it allows all: a *region*. A region remembers what was asked of it, so that a search prices each
kind of leaf once in each situation, and not each leaf in each of its nodes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from kedge.core.planner.star import Leaf, LeafEdges, Star

INFINITE = 1 << 62
PRICES_KEPT = 2_000
REGIONS_KEPT = 2_000

Prices = tuple[int, ...]
"""What it costs to have a leaf in each of its states."""


def cheapest(ways: Sequence[Sequence[tuple[int, int]]], prices_of_ends: Prices) -> Prices:
    """Dijkstra from every end at its price; ``ways`` are (target, cost) by source."""
    prices = list(prices_of_ends)
    heap = [(price, end) for end, price in enumerate(prices) if price != INFINITE and ways[end]]
    heapq.heapify(heap)
    while heap:
        price, source = heapq.heappop(heap)
        if price > prices[source]:
            continue
        for target, cost in ways[source]:
            if price + cost < prices[target]:
                prices[target] = price + cost
                heapq.heappush(heap, (price + cost, target))
    return tuple(prices)


class Region:
    """The edges of a kind of leaf that some values of the centre enable, and what was asked of them.

    ``out`` are (target, cost) by source, ``into`` (place of the edge, source, cost) by target.
    """

    __slots__ = ("_known", "into", "out")

    def __init__(self, states: int, edges: Iterable[tuple[int, LeafEdges]]) -> None:
        self.out: list[list[tuple[int, int]]] = [[] for _ in range(states)]
        self.into: list[list[tuple[int, int, int]]] = [[] for _ in range(states)]
        self._known: dict[Prices, Prices] = {}
        for place, edge in edges:
            for source, target in edge.moves:
                self.out[source].append((target, edge.cost))
                self.into[target].append((place, source, edge.cost))

    def saturate(self, entry: Prices) -> Prices:
        """Dijkstra over the enabled edges, from every state at its price."""
        known = self._known.get(entry)
        if known is None:
            if len(self._known) >= PRICES_KEPT:
                self._known.clear()
            known = self._known[entry] = cheapest(self.out, entry)
        return known


class Kind:
    """Leaves that are alike but for the names of their actions; ``centre`` are the positions that
    their edges ask for."""

    def __init__(self, leaf: Leaf) -> None:
        self._leaf = leaf
        self._centre = sorted({position for edge in leaf.edges for position, _ in edge.centre})
        self._regions: dict[tuple[int, ...], Region] = {}

    def region(self, centre: tuple[int, ...]) -> Region:
        """What is enabled in ``centre``."""
        key = tuple([centre[position] for position in self._centre])
        known = self._regions.get(key)
        if known is None:
            if len(self._regions) >= REGIONS_KEPT:
                self._regions.clear()
            enabled = [
                (place, edge)
                for place, edge in enumerate(self._leaf.edges)
                if all(centre[position] in ok for position, ok in edge.centre)
            ]
            known = self._regions[key] = Region(len(self._leaf.states), enabled)
        return known


def kinds_of(star: Star) -> list[Kind]:
    """The kind of each leaf."""
    kinds: dict[tuple[object, ...], Kind] = {}
    found: list[Kind] = []
    for leaf in star.leaves:
        alike = (len(leaf.states), *((e.cost, e.centre, e.moves) for e in leaf.edges))
        kind = kinds.get(alike)
        if kind is None:
            kind = kinds[alike] = Kind(leaf)
        found.append(kind)
    return found
