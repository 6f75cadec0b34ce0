"""The search: best first over centre actions, with one price vector per leaf.

A search node is a centre state with, for each leaf, the least price of bringing it into each of its
states by leaf actions that the centre path so far enabled. Prices are normalised (their minimum is
moved into the node's own price), so the node's price plus what `bounds` says is still to be paid is a
lower bound of every plan through it. It never falls along a path, and the first bound at or above the
best total found proves that optimal.

A node is pruned when another at the same centre state is at least as good for every completion:
``g1 + sum over leaves of max(prices1 - prices2) <= g2``. This is sound because maps and shortest
paths of price vectors are monotone and move with a constant: what holds now holds for ever.

Goals that do not hold yet may be given up, each for `GIVE_UP`; one that holds must hold at the end.
The bound is a number of expansions, never time, so that the same question has the same answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from kedge.core.planner.bounds import Bounds
from kedge.core.planner.leaves import INFINITE, REGIONS_KEPT, Prices, Region, kinds_of
from kedge.core.planner.star import CentreAction, Star
from kedge.core.planner.task import GIVE_UP

EXPANSIONS = 20_000


@dataclass(frozen=True, slots=True)
class Found:
    """The actions in one valid order, their price (`GIVE_UP` included), and whether it is proven."""

    actions: tuple[int, ...]
    price: int
    proven: bool


@dataclass(frozen=True, slots=True)
class _Node:
    price: int
    centre: tuple[int, ...]
    entry: tuple[Prices, ...]
    prices: tuple[Prices, ...]
    parent: int
    by: CentreAction | None


class Search:
    """Answers questions about one star; keeps what depends on the star only, for the next question."""

    def __init__(self, star: Star) -> None:
        self.star = star
        self._kinds = kinds_of(star)
        self._bounds = Bounds(star)
        self._regions: dict[tuple[int, ...], tuple[Region, ...]] = {}

    def find(self, state: Sequence[int], expansions: int = EXPANSIONS) -> Found:
        """The cheapest plan from ``state`` (indexed by variable number)."""
        centre_worth, leaf_worth = self._worth(state)
        least = self._bounds.least(centre_worth, leaf_worth)
        nodes: list[_Node] = [self._start(state)]
        heap = [(_bound(nodes[0], *least), 0, 0)]
        expanded: dict[tuple[int, ...], list[tuple[int, tuple[Prices, ...]]]] = {}
        best, best_at, proven = INFINITE, 0, True
        while heap:
            bound, _, at = heapq.heappop(heap)
            if bound >= best:
                break
            node = nodes[at]
            price = node.price
            peers = expanded.setdefault(node.centre, [])
            if any(_dominates(peer, (price, node.prices)) for peer in peers):
                continue
            if expansions == 0:
                proven = False
                break
            expansions -= 1
            peers.append((price, node.prices))
            total = price + _total(node, centre_worth, leaf_worth)
            if total < best:
                best, best_at = total, at
            for action in self.star.actions:
                after = self._apply(node, at, action)
                if after is not None and (bound := _bound(after, *least)) < best:
                    nodes.append(after)
                    heapq.heappush(heap, (bound, -after.price, len(nodes) - 1))
        return Found(self._trace(nodes, best_at, leaf_worth), best, proven)

    # --- moving --------------------------------------------------------------------------------

    def _start(self, state: Sequence[int]) -> _Node:
        star = self.star
        entry: list[Prices] = []
        for leaf in star.leaves:
            here = leaf.number[tuple(state[v] for v in leaf.variables)]
            entry.append(tuple(0 if i == here else INFINITE for i in range(len(leaf.states))))
        centre = tuple(state[v] for v in star.centre)
        prices = tuple(map(Region.saturate, self._enabled(centre), entry))
        return _Node(0, centre, tuple(entry), prices, -1, None)

    def _apply(self, node: _Node, at: int, action: CentreAction) -> _Node | None:
        """The node after ``action``, or None where it cannot be applied."""
        for position, allowed in action.reads:
            if node.centre[position] not in allowed:
                return None
        price = node.price + action.cost
        entry = list(node.prices)
        for leaf, moves in action.leaves:
            before = node.prices[leaf]
            mapped = [INFINITE] * len(before)
            for source, target in moves:
                if before[source] < mapped[target]:
                    mapped[target] = before[source]
            least = min(mapped)
            if least == INFINITE:
                return None
            price += least
            entry[leaf] = tuple(p - least if p != INFINITE else p for p in mapped)
        moved = list(node.centre)
        for position, value in action.writes:
            moved[position] = value
        centre = tuple(moved)
        if centre == node.centre and not action.leaves:
            return None
        prices = tuple(map(Region.saturate, self._enabled(centre), entry))
        return _Node(price, centre, tuple(entry), prices, at, action)

    def _enabled(self, centre: tuple[int, ...]) -> tuple[Region, ...]:
        """For each leaf what ``centre`` enables."""
        known = self._regions.get(centre)
        if known is None:
            if len(self._regions) >= REGIONS_KEPT:
                self._regions.clear()
            known = self._regions[centre] = tuple([kind.region(centre) for kind in self._kinds])
        return known

    def saturate(self, leaf: int, entry: Prices, centre: tuple[int, ...]) -> Prices:
        """What it costs to bring the leaf into each state, from ``entry``, where ``centre`` holds."""
        return self._enabled(centre)[leaf].saturate(entry)

    # --- ending --------------------------------------------------------------------------------

    def _worth(self, state: Sequence[int]) -> tuple[dict[int, tuple[int, int]], list[Prices]]:
        """What it costs to end in a centre value or leaf state that misses goals."""
        miss = {v: (g, INFINITE if state[v] == g else GIVE_UP) for v, g in self.star.task.goals}
        centre = {i: miss[v] for i, v in enumerate(self.star.centre) if v in miss}
        return centre, [self.leaf_worth(i, state) for i in range(len(self.star.leaves))]

    def leaf_worth(self, leaf: int, state: Sequence[int]) -> Prices:
        """What it costs to end in each state of the leaf, for the goals missed there."""
        found = self.star.leaves[leaf]
        goals = [
            (found.variables.index(v), goal, INFINITE if state[v] == goal else GIVE_UP)
            for v, goal in self.star.task.goals
            if v in found.variables
        ]
        return tuple(
            min(INFINITE, sum(price for at, goal, price in goals if s[at] != goal))
            for s in found.states
        )

    def _trace(
        self, nodes: Sequence[_Node], best_at: int, leaf_worth: Sequence[Prices]
    ) -> tuple[int, ...]:
        """Walk back from the best node; ties go to the lowest number, so to the first name."""
        path: list[_Node] = []
        at = best_at
        while at >= 0:
            path.append(nodes[at])
            at = nodes[at].parent
        last = path[0]
        ends = [
            min(range(len(p)), key=lambda s, p=p, w=w: (p[s] + w[s], s))
            for p, w in zip(last.prices, leaf_worth, strict=True)
        ]
        actions: list[int] = []
        for stage, node in enumerate(path):
            for leaf in reversed(range(len(ends))):
                ends[leaf] = self.back(
                    node.prices[leaf], node.entry[leaf], leaf, node.centre, ends[leaf], actions
                )
            if node.by is not None:
                actions.append(node.by.action)
                before = path[stage + 1]
                for leaf, moves in node.by.leaves:
                    sources = [source for source, target in moves if target == ends[leaf]]
                    ends[leaf] = min(sources, key=lambda s, i=leaf: (before.prices[i][s], s))
        return tuple(reversed(actions))

    def back(
        self,
        prices: Prices,
        entry: Prices,
        leaf: int,
        centre: tuple[int, ...],
        end: int,
        actions: list[int],
    ) -> int:
        """Append the leaf actions that led to ``end`` in a stage, last first; where it began."""
        into = self._enabled(centre)[leaf].into
        while prices[end] != entry[end]:
            place, end, _ = min(
                edge for edge in into[end] if prices[edge[1]] + edge[2] == prices[end]
            )
            actions.append(self.star.leaves[leaf].edges[place].action)
        return end


def _bound(
    node: _Node,
    centre_least: Sequence[tuple[int, Prices]],
    leaf_least: Sequence[tuple[int, Prices]],
) -> int:
    """The least price of all plans through the node."""
    bound = node.price
    for position, least in centre_least:
        bound += least[node.centre[position]]
    for leaf, least in leaf_least:
        bound += min(map(int.__add__, node.prices[leaf], least))
    return bound


def _total(
    node: _Node, centre_worth: dict[int, tuple[int, int]], leaf_worth: Sequence[Prices]
) -> int:
    total = 0
    for position, (goal, price) in centre_worth.items():
        if node.centre[position] != goal:
            total += price
    for prices, worth in zip(node.prices, leaf_worth, strict=True):
        total += min(map(int.__add__, prices, worth))
    return min(total, INFINITE)


def _dominates(one: tuple[int, tuple[Prices, ...]], two: tuple[int, tuple[Prices, ...]]) -> bool:
    """Whether every completion of ``two`` is at least as cheap from ``one``."""
    slack = two[0] - one[0]
    for mine, theirs in zip(one[1], two[1], strict=True):
        if mine != theirs:
            slack -= max(a - b for a, b in zip(mine, theirs, strict=True) if b != INFINITE)
            if slack < 0:
                return False
    return slack >= 0
