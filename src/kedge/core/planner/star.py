"""Star decoupling: a task taken apart into a centre and leaves that meet only in the centre.

Actions that write the centre are *centre actions*; all others are *leaf actions*. A leaf is a
connected component of the remaining variables, two of them being connected when one leaf action
speaks of both. So between two centre actions each leaf moves by itself, and the search needs only
one price vector per leaf instead of the product of all leaves. The centre is grown by the variable
connected with the most others (ties by number, so by name) until every leaf is small. An empty
centre is the exact test for goals that can be planned apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from kedge.core.action import Action, Values
from kedge.core.planner.task import Task

LEAF_STATES = 64


@dataclass(frozen=True, slots=True)
class LeafEdges:
    """One leaf action within its leaf: allowed in which centre values, and its moves ``(from, to)``."""

    action: int
    cost: int
    centre: tuple[tuple[int, Values], ...]
    moves: tuple[tuple[int, int], ...]


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
    leaves: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]


@dataclass(frozen=True, slots=True)
class Star:
    """A task taken apart; positions in ``centre`` index the centre's state tuple."""

    task: Task
    centre: tuple[int, ...]
    leaves: tuple[Leaf, ...]
    actions: tuple[CentreAction, ...]


def decouple(task: Task, sizes: Sequence[int], leaf_states: int = LEAF_STATES) -> Star:
    """Take ``task`` apart; ``sizes`` are the numbers of values of all variables."""
    together = _together(task)
    centre: list[int] = []
    while True:
        parts = _components(task, set(centre))
        large = [part for part in parts if _size(part, sizes) > leaf_states and len(part) > 1]
        if not large:
            break
        candidates = [v for part in large for v in part]
        centre.append(min(candidates, key=lambda v: (-len(together[v] - set(centre)), v)))
    chosen = tuple(sorted(centre))
    return _build(task, chosen, [tuple(sorted(part)) for part in parts], sizes)


def _together(task: Task) -> dict[int, set[int]]:
    met: dict[int, set[int]] = {v: set() for v in task.variables}
    for action in task.actions:
        speaks = _speaks_of(action) & met.keys()
        for variable in speaks:
            met[variable] |= speaks - {variable}
    return met


def _speaks_of(action: Action) -> set[int]:
    return {v for v, _ in action.reads} | {v for v, _ in action.writes}


def _size(part: Iterable[int], sizes: Sequence[int]) -> int:
    total = 1
    for variable in part:
        total *= sizes[variable]
    return total


def _components(task: Task, centre: set[int]) -> list[set[int]]:
    """Connected components of the variables outside the centre, by smallest variable."""
    root = {v: v for v in task.variables if v not in centre}

    def find(variable: int) -> int:
        while root[variable] != variable:
            root[variable] = root[root[variable]]
            variable = root[variable]
        return variable

    for action in task.actions:
        if not any(v in centre for v, _ in action.writes):
            speaks = sorted(v for v in _speaks_of(action) if v in root)
            for variable in speaks[1:]:
                one, two = sorted((find(speaks[0]), find(variable)))
                root[two] = one
    parts: dict[int, set[int]] = {}
    for variable in root:
        parts.setdefault(find(variable), set()).add(variable)
    return [parts[first] for first in sorted(parts)]


def _moves(
    leaf: tuple[int, ...], states: Sequence[tuple[int, ...]], action: Action
) -> tuple[tuple[int, int], ...]:
    """Where the action takes each state of the leaf; states it does not allow are left out."""
    number = {state: i for i, state in enumerate(states)}
    reads = [(leaf.index(v), ok) for v, ok in action.reads if v in leaf]
    writes = [(leaf.index(v), value) for v, value in action.writes if v in leaf]
    moves: list[tuple[int, int]] = []
    for before, state in enumerate(states):
        if all(state[at] in ok for at, ok in reads):
            after = list(state)
            for at, value in writes:
                after[at] = value
            moves.append((before, number[tuple(after)]))
    return tuple(moves)


def _build(
    task: Task, centre: tuple[int, ...], parts: Sequence[tuple[int, ...]], sizes: Sequence[int]
) -> Star:
    at = {v: i for i, v in enumerate(centre)}
    leaf_of = {v: i for i, part in enumerate(parts) for v in part}
    states = [tuple(product(*(range(sizes[v]) for v in part))) for part in parts]
    edges: list[list[LeafEdges]] = [[] for _ in parts]
    actions: list[CentreAction] = []
    for action in task.actions:
        cost = task.costs[action.number]
        reads = tuple((at[v], ok) for v, ok in action.reads if v in at)
        touched = sorted({leaf_of[v] for v in _speaks_of(action) if v in leaf_of})
        writes = tuple((at[v], value) for v, value in action.writes if v in at)
        if writes:
            maps = tuple((i, _moves(parts[i], states[i], action)) for i in touched)
            actions.append(CentreAction(action.number, cost, reads, writes, maps))
        else:
            for i in touched:  # exactly one, or the leaf would have been one
                moves = tuple(m for m in _moves(parts[i], states[i], action) if m[0] != m[1])
                edges[i].append(LeafEdges(action.number, cost, reads, moves))
    leaves = tuple(
        Leaf(part, states[i], {s: n for n, s in enumerate(states[i])}, tuple(edges[i]))
        for i, part in enumerate(parts)
    )
    return Star(task, centre, leaves, tuple(actions))
