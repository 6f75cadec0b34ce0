"""Repairing a plan when a surprise touches one leaf only: plan that leaf along the committed path.

The other leaves and the centre did not change, so their steps still fit; only the leaf's own steps
are replaced, by the cheapest ones along the centre actions that are still to come. Which answer that
is depends on the leaf and the path alone, so thousands of nodes with one failed service each, all in
different places of their plans, need a handful of answers instead of a search each.

This is not always the optimum (another centre path might now be better), so where the leaf becomes
dearer by more than the cheapest centre action, there is no repair and the caller searches in full.
The repaired sequence is carried out in thought before it is believed.
"""

from __future__ import annotations

from collections.abc import Sequence

from kedge.core.action import Action
from kedge.core.compiled import Compiled
from kedge.core.planner.leaves import INFINITE
from kedge.core.planner.search import Search
from kedge.core.planner.star import CentreAction
from kedge.core.planner.task import GIVE_UP

Stages = tuple[tuple[int, ...], ...]
"""For each centre action still to come (and before the first), the leaf actions after it."""


def leaf_with(search: Search, changed: Sequence[int]) -> int:
    """The one leaf that holds all changed variables (those that matter), or -1."""
    star = search.star
    matter = [v for v in changed if v in star.task.variables]
    for number, leaf in enumerate(star.leaves):
        if matter and all(v in leaf.variables for v in matter):
            return number
    return -1


def merge(
    compiled: Compiled,
    search: Search,
    left: Sequence[Action],
    leaf: int,
    stages: Stages,
    state: Sequence[int],
) -> tuple[int, ...] | None:
    """The steps ``left`` with the leaf's own replaced; None where that does not lead to the goals."""
    own = {edge.action for edge in search.star.leaves[leaf].edges}
    centre = {action.action for action in search.star.actions}
    numbers = list(stages[0])
    stage = 0
    for action in left:
        if action.number not in own:
            numbers.append(action.number)
            if action.number in centre:
                stage += 1
                numbers.extend(stages[stage])
    now = list(state)
    for number in numbers:
        action = compiled.actions[number]
        if any(now[v] not in allowed for v, allowed in action.reads):
            return None
        for variable, value in action.writes:
            now[variable] = value
    return tuple(numbers) if all(now[v] == g for v, g in search.star.task.goals) else None


def along(
    search: Search, path: Sequence[int], leaf: int, state: Sequence[int]
) -> tuple[Stages, int] | None:
    """The cheapest way of the leaf to its goals along the centre actions ``path``, and its price."""
    star = search.star
    by_number = {action.action: action for action in star.actions}
    actions = [by_number[number] for number in path]
    here = star.leaves[leaf].number[tuple(state[v] for v in star.leaves[leaf].variables)]
    entry = tuple(0 if i == here else INFINITE for i in range(len(star.leaves[leaf].states)))
    centre = tuple(state[v] for v in star.centre)
    centres, entries = [centre], [entry]
    prices = [search.saturate(leaf, entry, centre)]
    for action in actions:
        if any(centre[position] not in allowed for position, allowed in action.reads):
            return None
        moved = list(centre)
        for position, value in action.writes:
            moved[position] = value
        centre = tuple(moved)
        entry = _through(action, leaf, prices[-1])
        centres.append(centre)
        entries.append(entry)
        prices.append(search.saturate(leaf, entry, centre))
    worth = search.leaf_worth(leaf, state)
    end = min(range(len(worth)), key=lambda s: (prices[-1][s] + worth[s], s))
    price = prices[-1][end] + worth[end]
    if price >= GIVE_UP:
        return None
    stages: list[tuple[int, ...]] = []
    for at in range(len(actions), -1, -1):
        taken: list[int] = []
        end = search.back(prices[at], entries[at], leaf, centres[at], end, taken)
        stages.append(tuple(reversed(taken)))
        if at:
            end = _source(actions[at - 1], leaf, prices[at - 1], end)
    return tuple(reversed(stages)), price


def _through(action: CentreAction, leaf: int, prices: tuple[int, ...]) -> tuple[int, ...]:
    """The leaf's prices after a centre action."""
    for touched, moves in action.leaves:
        if touched == leaf:
            mapped = [INFINITE] * len(prices)
            for source, target in moves:
                mapped[target] = min(mapped[target], prices[source])
            return tuple(mapped)
    return prices


def _source(action: CentreAction, leaf: int, prices: tuple[int, ...], end: int) -> int:
    for touched, moves in action.leaves:
        if touched == leaf:
            sources = [source for source, target in moves if target == end]
            return min(sources, key=lambda s: (prices[s], s))
    return end
