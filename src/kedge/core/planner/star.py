"""Star decoupling: a task taken apart into a centre and leaves that meet only in the centre.

Actions that write the centre are *centre actions*; all others are *leaf actions*. A leaf is a
connected component of the remaining variables, two of them being connected when one leaf action
speaks of both. So between two centre actions each leaf moves by itself, and the search needs only
one price vector per leaf instead of the product of all leaves. The centre is grown by the variable
connected with the most others (ties by number, so by name) until every leaf is small. An empty
centre is the exact test for goals that can be planned apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from kedge.core.action import Action, Values
from kedge.core.planner.task import Task

LEAF_STATES = 64

States = tuple[tuple[tuple[int, ...], ...], dict[tuple[int, ...], int]]
Moves = tuple[tuple[int, int], ...]
"""Leaf states by number: (from, to)."""


@dataclass(frozen=True, slots=True)
class LeafEdges:
    """One leaf action within its leaf: allowed in which centre values, and its moves ``(from, to)``."""

    action: int
    cost: int
    centre: tuple[tuple[int, Values], ...]
    moves: Moves


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf: its variables, its states (tuples of values, numbered), and its own edges."""

    variables: tuple[int, ...]
    states: tuple[tuple[int, ...], ...]
    number: dict[tuple[int, ...], int]
    edges: tuple[LeafEdges, ...]


@dataclass(frozen=True, slots=True)
class CentreAction:
    """A centre action: what it reads and writes in the centre, and its map of each leaf it touches."""

    action: int
    cost: int
    reads: tuple[tuple[int, Values], ...]
    writes: tuple[tuple[int, int], ...]
    leaves: tuple[tuple[int, Moves], ...]


@dataclass(frozen=True, slots=True)
class Star:
    """A task taken apart; positions in ``centre`` index the centre's state tuple, and ``sizes`` are
    the numbers of values there."""

    task: Task
    centre: tuple[int, ...]
    sizes: tuple[int, ...]
    leaves: tuple[Leaf, ...]
    actions: tuple[CentreAction, ...]


def decouple(task: Task, sizes: Sequence[int], leaf_states: int = LEAF_STATES) -> Star:
    """Take ``task`` apart; ``sizes`` are the numbers of values of all variables."""
    known = set(task.variables)
    every = [(sorted(_speaks_of(a) & known), a.writes_of.keys()) for a in task.actions]
    together = _together(task, every)
    centre: set[int] = set()
    while True:
        parts = _components(task, every, centre)
        large = [part for part in parts if _size(part, sizes) > leaf_states and len(part) > 1]
        if not large:
            break
        candidates = [v for part in large for v in part]
        centre.add(min(candidates, key=lambda v: (-len(together[v] - centre), v)))
    return _build(task, tuple(sorted(centre)), [tuple(sorted(part)) for part in parts], sizes)


Speaks = Sequence[tuple[list[int], Collection[int]]]
"""For each action the variables of the task that it speaks of, sorted, and those that it writes."""


def _together(task: Task, every: Speaks) -> dict[int, set[int]]:
    met: dict[int, set[int]] = {v: set() for v in task.variables}
    for speaks, _ in every:
        for variable in speaks:
            met[variable].update(speaks)
    for variable, others in met.items():
        others.discard(variable)
    return met


def _speaks_of(action: Action) -> set[int]:
    return action.reads_of.keys() | action.writes_of.keys()


def _size(part: Iterable[int], sizes: Sequence[int]) -> int:
    total = 1
    for variable in part:
        total *= sizes[variable]
    return total


def _components(task: Task, every: Speaks, centre: set[int]) -> list[set[int]]:
    """Connected components of the variables outside the centre, by smallest variable."""
    root = {v: v for v in task.variables if v not in centre}

    def find(variable: int) -> int:
        while root[variable] != variable:
            root[variable] = root[root[variable]]
            variable = root[variable]
        return variable

    for speaks, writes in every:
        if centre.isdisjoint(writes):
            first = -1
            for variable in speaks:
                if variable in root:
                    if first >= 0:
                        one, two = find(first), find(variable)
                        root[max(one, two)] = min(one, two)
                    first = variable
    parts: dict[int, set[int]] = {}
    for variable in root:
        parts.setdefault(find(variable), set()).add(variable)
    return [parts[first] for first in sorted(parts)]


class _Shapes:
    """What leaves of the same size have in common: their states, and moves that are alike."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._states: dict[tuple[int, ...], States] = {}
        self._moves: dict[tuple[object, ...], Moves] = {}

    def states(self, part: tuple[int, ...]) -> States:
        """All states of a leaf, and the number of each."""
        size = tuple(self._sizes[v] for v in part)
        known = self._states.get(size)
        if known is None:
            states = tuple(product(*map(range, size)))
            known = self._states[size] = (states, {state: i for i, state in enumerate(states)})
        return known

    def moves(self, part: tuple[int, ...], action: Action) -> Moves:
        """Where the action takes each state of the leaf; states it does not allow are left out."""
        reads = tuple((at, action.reads_of[v]) for at, v in enumerate(part) if v in action.reads_of)
        writes = tuple(
            (at, action.writes_of[v]) for at, v in enumerate(part) if v in action.writes_of
        )
        size = tuple(self._sizes[v] for v in part)
        known = self._moves.get((size, reads, writes))
        if known is None:
            moves: list[tuple[int, int]] = []
            states, number = self.states(part)
            for before, state in enumerate(states):
                if all(state[at] in ok for at, ok in reads):
                    after = list(state)
                    for at, value in writes:
                        after[at] = value
                    moves.append((before, number[tuple(after)]))
            known = self._moves[size, reads, writes] = tuple(moves)
        return known


def _build(
    task: Task, centre: tuple[int, ...], parts: Sequence[tuple[int, ...]], sizes: Sequence[int]
) -> Star:
    at = {v: i for i, v in enumerate(centre)}
    leaf_of = {v: i for i, part in enumerate(parts) for v in part}
    shapes = _Shapes(sizes)
    edges: list[list[LeafEdges]] = [[] for _ in parts]
    actions: list[CentreAction] = []
    for action in task.actions:
        cost = task.costs[action.number]
        reads = tuple((at[v], ok) for v, ok in action.reads if v in at)
        touched = sorted({leaf_of[v] for v in _speaks_of(action) if v in leaf_of})
        writes = tuple((at[v], value) for v, value in action.writes if v in at)
        if writes:
            maps = tuple((i, shapes.moves(parts[i], action)) for i in touched)
            actions.append(CentreAction(action.number, cost, reads, writes, maps))
        else:
            for i in touched:  # exactly one, or the leaf would have been one
                moves = tuple(m for m in shapes.moves(parts[i], action) if m[0] != m[1])
                edges[i].append(LeafEdges(action.number, cost, reads, moves))
    leaves = tuple(
        Leaf(part, *shapes.states(part), tuple(edges[i])) for i, part in enumerate(parts)
    )
    return Star(task, centre, tuple(sizes[v] for v in centre), leaves, tuple(actions))
