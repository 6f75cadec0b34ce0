"""Relax and check: chains of services (munge before slurmd) without a product of their states.

Where every leaf requires something of another leaf, all of them are drawn into the centre. But most
such requirements are on what the goals want anyway. So these are dropped, the relaxed task is planned
(it comes apart), and its steps are put in order under the *full* requirements. If that works the plan
is optimal: a relaxed task is never dearer than the full one. Otherwise the requirements that stood in
the way are restored, and it is tried again; each round restores at least one, so it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from kedge.core.action import Action
from kedge.core.compiled import Compiled
from kedge.core.planner.order import conflict
from kedge.core.planner.search import Found, Search
from kedge.core.planner.star import Star
from kedge.core.planner.task import Task

Dropped = frozenset[tuple[int, int]]
"""Requirements left out: (action, variable)."""

SMALL_CENTRE = 256
ROUNDS = 8


def droppable(star: Star, sizes: Sequence[int]) -> Dropped:
    """The requirements that the goals want satisfied anyway; none where the centre is small."""
    states = 1
    for variable in star.centre:
        states *= sizes[variable]
    if states <= SMALL_CENTRE:
        return frozenset()
    goals = dict(star.task.goals)
    return frozenset(
        (action.number, variable)
        for action in star.task.actions
        for variable, allowed in action.reads
        if variable not in action.writes_of and goals.get(variable) in allowed
    )


def relaxed(task: Task, dropped: Dropped) -> Task:
    """The task without the requirements in ``dropped``."""
    touched = {number for number, _ in dropped}
    actions = tuple(
        replace(a, reads=tuple(r for r in a.reads if (a.number, r[0]) not in dropped))
        if a.number in touched
        else a
        for a in task.actions
    )
    return replace(task, actions=actions)


def solve(
    compiled: Compiled,
    state: Sequence[int],
    dropped: Dropped,
    search: Callable[[Dropped], Search],
    expansions: int,
) -> Found:
    """The cheapest plan; ``search`` gives the search for the task without some requirements."""
    for _ in range(ROUNDS):
        found = search(dropped).find(state, expansions)
        if not dropped:
            return found
        order, blocked = _in_order([compiled.actions[n] for n in found.actions], state, dropped)
        if not blocked:
            return Found(order, found.price, found.proven)
        dropped -= blocked
    return search(frozenset()).find(state, expansions)


def _in_order(
    steps: Sequence[Action], state: Sequence[int], dropped: Dropped
) -> tuple[tuple[int, ...], Dropped]:
    """The steps in an order that their full requirements allow, or the requirements in the way.

    Steps that conflict even in the relaxed task keep their order; otherwise the first that can go
    goes first.
    """
    now = list(state)
    before = [
        {i for i in range(j) if _keeps(steps[i], steps[j], dropped)} for j in range(len(steps))
    ]
    left = list(range(len(steps)))
    order: list[int] = []
    while left:
        blocked: set[tuple[int, int]] = set()
        for j in left:
            if not before[j].isdisjoint(left):
                continue
            lacking = [v for v, allowed in steps[j].reads if now[v] not in allowed]
            if not lacking:
                break
            blocked.update((steps[j].number, v) for v in lacking)
        else:
            return (), frozenset(blocked) & dropped or dropped
        left.remove(j)
        order.append(steps[j].number)
        for variable, value in steps[j].writes:
            now[variable] = value
    return tuple(order), frozenset()


def _keeps(one: Action, two: Action, dropped: Dropped) -> bool:
    """Whether they conflict by more than a dropped requirement."""
    if not conflict(one, two):
        return False
    if not one.writes_of.keys().isdisjoint(two.writes_of):
        return True
    return any(v in one.writes_of and (two.number, v) not in dropped for v, _ in two.reads) or any(
        v in two.writes_of and (one.number, v) not in dropped for v, _ in one.reads
    )
