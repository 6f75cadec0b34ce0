"""The question that the planner answers: which actions matter for some goals, and what each costs.

Only actions that can contribute are kept: walking backwards from the goals, an action matters when
it writes a variable that matters, and then all that it reads matters too. Leaving the others out
changes no optimum, as an action that writes nothing that matters can be cut from every plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kedge.core.action import Action
from kedge.core.compiled import Compiled

GIVE_UP = 1_000_000_000
"""The price of giving up one goal: above that of any plan, so that goals are given up last."""

FORBIDDEN = -1
"""As a penalty: the action is not to be used at all."""

Goals = tuple[tuple[int, int], ...]
Penalties = tuple[tuple[int, int], ...]
"""Action number -> extra cost, or `FORBIDDEN`; sorted and sparse."""


@dataclass(frozen=True, slots=True, eq=False)
class CostTable:
    """What each action costs, by number; compared and hashed by identity, as equal ones are shared.

    ``learned`` are the mutations whose duration was measured: (action number, seconds), sorted.
    ``costs`` are what the planner adds up; ``durations_s`` leave the surcharges out.
    """

    learned: tuple[tuple[int, int], ...]
    costs: tuple[int, ...]
    durations_s: tuple[int, ...]


def cost_table(compiled: Compiled, learned: tuple[tuple[int, int], ...] = ()) -> CostTable:
    """The declared costs, with the durations in ``learned`` in place of the declared ones."""
    durations = [a.mutation.cost_s if a.mutation else a.cost for a in compiled.actions]
    for action, seconds in learned:
        durations[action] = seconds
    surcharges = [a.mutation.surcharge_s if a.mutation else 0 for a in compiled.actions]
    costs = tuple(map(int.__add__, durations, surcharges))
    return CostTable(learned, costs, tuple(durations))


@dataclass(frozen=True, slots=True)
class Task:
    """Relevant actions (by number), their costs, and the variables they and the goals speak of."""

    goals: Goals
    actions: tuple[Action, ...]
    costs: Mapping[int, int]
    variables: tuple[int, ...]


def task_for(
    compiled: Compiled,
    goals: Goals,
    penalties: Penalties,
    costs: Sequence[int] | None = None,
) -> Task:
    """The task without what cannot matter. ``costs`` replace the declared ones, by action number."""
    extra = dict(penalties)
    writers: dict[int, list[Action]] = {}
    for action in compiled.actions:
        if extra.get(action.number) != FORBIDDEN:
            for variable, _ in action.writes:
                writers.setdefault(variable, []).append(action)
    relevant = {variable for variable, _ in goals}
    chosen: dict[int, Action] = {}
    frontier = sorted(relevant)
    while frontier:
        variable = frontier.pop()
        for action in writers.get(variable, ()):
            if action.number not in chosen:
                chosen[action.number] = action
                for read, _ in action.reads:
                    if read not in relevant:
                        relevant.add(read)
                        frontier.append(read)
    actions = tuple(chosen[number] for number in sorted(chosen))
    declared = costs or [action.cost for action in compiled.actions]
    return Task(
        goals,
        actions,
        {a.number: declared[a.number] + extra.get(a.number, 0) for a in actions},
        tuple(sorted(relevant)),
    )
