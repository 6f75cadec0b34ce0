"""What is still to be paid at least, so that the search goes where the goals are.

Each variable of the centre that has a goal, and each leaf, is looked at alone: all requirements on
other variables are taken to hold, and what is left is a way through a handful of values. These prices
may be added up because every action pays in one place only (the first of its variables that has a
goal) and is free in all others. So the sum is never above the price of any completion, and no action
lowers it by more than its own cost: the search stays exact, and expands no centre state twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kedge.core.planner.leaves import Prices, cheapest
from kedge.core.planner.star import CentreAction, Star

Ways = frozenset[tuple[int, int, int]]
"""(from, to, cost)."""


class Bounds:
    """The least prices of one star; what was computed is kept for the next question."""

    def __init__(self, star: Star) -> None:
        self._star = star
        goals = {v for v, _ in star.task.goals}
        self._positions = [i for i, v in enumerate(star.centre) if v in goals]
        self._leaves = [
            i for i, leaf in enumerate(star.leaves) if not goals.isdisjoint(leaf.variables)
        ]
        self._ways = self._all_ways()
        self._known: dict[tuple[Ways, Prices], Prices] = {}

    def _all_ways(self) -> tuple[list[Ways], list[Ways]]:
        star = self._star
        centre: dict[int, set[tuple[int, int, int]]] = {i: set() for i in self._positions}
        leaves: dict[int, set[tuple[int, int, int]]] = {
            i: {(a, b, edge.cost) for edge in star.leaves[i].edges for a, b in edge.moves}
            for i in self._leaves
        }
        for action in star.actions:
            payer = self._payer(action)
            reads = dict(action.reads)
            for position, value in action.writes:
                if position in centre:
                    cost = action.cost if payer == (True, position) else 0
                    sources = reads.get(position, range(star.sizes[position]))
                    centre[position].update((source, value, cost) for source in sources)
            for leaf, moves in action.leaves:
                if leaf in leaves:
                    cost = action.cost if payer == (False, leaf) else 0
                    leaves[leaf].update((a, b, cost) for a, b in moves if a != b)
        return [frozenset(ways) for ways in centre.values()], [
            frozenset(ways) for ways in leaves.values()
        ]

    def _payer(self, action: CentreAction) -> tuple[bool, int] | None:
        """Where the action pays: (whether in the centre, the position or leaf)."""
        for position, _ in action.writes:
            if position in self._positions:
                return True, position
        return next(((False, leaf) for leaf, _ in action.leaves if leaf in self._leaves), None)

    def least(
        self, centre_worth: dict[int, tuple[int, int]], leaf_worth: Sequence[Prices]
    ) -> tuple[list[tuple[int, Prices]], list[tuple[int, Prices]]]:
        """For each position and leaf that has a goal, the least price by value or leaf state; the
        arguments say what it costs to end elsewhere than at the goal."""
        centre: list[tuple[int, Prices]] = []
        for position, ways in zip(self._positions, self._ways[0], strict=True):
            goal, price = centre_worth[position]
            values = range(self._star.sizes[position])
            worth = tuple(0 if value == goal else price for value in values)
            centre.append((position, self._back(ways, worth)))
        leaves = [
            (leaf, self._back(ways, leaf_worth[leaf]))
            for leaf, ways in zip(self._leaves, self._ways[1], strict=True)
        ]
        return centre, leaves

    def _back(self, ways: Ways, worth: Prices) -> Prices:
        known = self._known.get((ways, worth))
        if known is None:
            known = self._known[ways, worth] = _backwards(ways, worth)
        return known


def _backwards(ways: Iterable[tuple[int, int, int]], worth: Prices) -> Prices:
    """The price of each end when ``ways`` are gone backwards, from every end at its worth."""
    into: list[list[tuple[int, int]]] = [[] for _ in worth]
    for source, target, cost in ways:
        into[target].append((source, cost))
    return cheapest(into, worth)
