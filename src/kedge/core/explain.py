"""Why there is no path, and what each step of a path is for, in words.

To explain what blocks a goal, plan again with *wishes*: actions that nobody can carry out, each of
which makes one variable hold a symbol that no usable action brings about, at a price far above any
plan's. The cheapest plan then uses as few wishes as possible, so what it wishes for is a smallest
set of requirements that blocks the goal. Only where requirements block one another in a circle are
wishes for attainable symbols allowed as well.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence

from kedge.core.action import UNKNOWN_VALUE, Action
from kedge.core.compiled import Compiled
from kedge.core.planner.cache import Planner
from kedge.core.planner.order import Plan
from kedge.core.planner.task import FORBIDDEN, Goals, Penalties

WISH = 1_000_000
KEPT = 1_000


class Explainer:
    """Explains with one compiled graph; keeps its answers for nodes in the same place."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._answers: OrderedDict[tuple[tuple[int, ...], Goals, Penalties], str] = OrderedDict()

    def obstacles(self, state: Sequence[int], given_up: Goals, penalties: Penalties = ()) -> str:
        """What blocks ``given_up`` from ``state``: one sentence, the smallest set of requirements."""
        forbidden = tuple(p for p in penalties if p[1] == FORBIDDEN)
        key = (tuple(state), given_up, forbidden)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._explain(state, given_up, forbidden)
            if len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        return answer

    def _explain(self, state: Sequence[int], given_up: Goals, forbidden: Penalties) -> str:
        compiled = self._compiled
        for everything in (False, True):
            wishing = _with_wishes(compiled, given_up, forbidden, everything)
            plan = Planner(wishing).plan(state, given_up, forbidden)
            wishes = [s for s in plan.steps if s.mutation is None and s.discovery < 0]
            if not plan.given_up and wishes:
                reasons = "; ".join(_wished(compiled, plan, wish) for wish in wishes)
                return f"no way leads to {words(compiled, given_up)}: {reasons}"
            if not plan.given_up:
                return (
                    f"{words(compiled, given_up)} could be reached, but not without losing "
                    "a goal that holds"
                )
        return f"nothing brings about {words(compiled, given_up)}"


def _with_wishes(
    compiled: Compiled, given_up: Goals, forbidden: Penalties, everything: bool
) -> Compiled:
    """The graph with wishes: for what no usable action makes, or (``everything``) for all."""
    barred = {number for number, _ in forbidden}
    made = {
        pair
        for action in compiled.actions
        if action.mutation is not None and action.number not in barred
        for pair in action.writes
    }
    goals = set(given_up)
    wishes: list[Action] = []
    for variable, values in enumerate(compiled.values):
        for value in range(1, len(values)):
            pair = (variable, value)
            if pair not in goals and (everything or pair not in made):
                writes = tuple(sorted(compiled.close({variable: value}).items()))
                number = len(compiled.actions) + len(wishes)
                reads = tuple(compiled.guards[variable])
                name = f"wish {compiled.name(variable)}"
                wishes.append(Action(number, name, reads, writes, (pair,), WISH))
    wishing = copy.copy(compiled)
    wishing.actions = (*compiled.actions, *wishes)
    return wishing


def _wished(compiled: Compiled, plan: Plan, wish: Action) -> str:
    pair = wish.own[0]
    later = plan.steps[plan.steps.index(wish) + 1 :]
    wanting = [s.name for s in later if any(v == pair[0] and pair[1] in ok for v, ok in s.reads)]
    wanted = words(compiled, (pair,))
    needs = f"{wanting[0]} requires {wanted}" if wanting else f"{wanted} is required"
    who = "only a person" if compiled.variables[pair[0]].by_hand else "nothing here"
    return f"{needs}, and {who} can bring that about"


def words(compiled: Compiled, assignment: Goals) -> str:
    """``a=b and c=d``."""
    return " and ".join(
        f"{compiled.name(v)}={compiled.symbol(v, x)}" for v, x in assignment if x != UNKNOWN_VALUE
    )


def unmet(compiled: Compiled, state: Sequence[int], goals: Goals) -> str:
    """The first goal that does not hold, as ``a is b, should be c`` (empty: all hold)."""
    for variable, goal in goals:
        if state[variable] != goal:
            seen, wanted = (compiled.symbol(variable, v) for v in (state[variable], goal))
            return f"{compiled.name(variable)} is {seen}, should be {wanted}"
    return ""


def reasons(
    compiled: Compiled, steps: Sequence[Action], goals: Goals, *, as_goals: str = "is configured"
) -> tuple[str, ...]:
    """For each step, what it is for: a goal (``as_goals`` says whose), or the later step that needs it."""
    wanted = dict(goals)
    found: list[str] = []
    for place, step in enumerate(steps):
        serves: list[str] = []
        for variable, value in step.writes:
            for later in steps[place + 1 :]:
                if value and any(v == variable and value in ok for v, ok in later.reads):
                    serves.append(f"{later.name} needs {words(compiled, ((variable, value),))}")
                    break
                if any(v == variable for v, _ in later.writes):
                    break
            else:
                if wanted.get(variable) == value:
                    serves.append(f"{words(compiled, ((variable, value),))} {as_goals}")
        found.append("; ".join(dict.fromkeys(serves)) or "leads on")
    return tuple(found)
