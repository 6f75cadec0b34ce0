"""Why there is no path: the smallest set of requirements that would have to fall, in words.

A relaxed search: every action may be used although one of its requirements does not hold, at a price
far above any plan's. The cheapest such plan breaks as few requirements as possible, and those it
breaks are the explanation.
"""

from __future__ import annotations

from collections.abc import Sequence

from kedge.core.compiled import Action, Compiled
from kedge.core.planner.cache import Planner
from kedge.core.planner.task import Goals


def obstacles(compiled: Compiled, planner: Planner, state: Sequence[int], given_up: Goals) -> str:
    """One sentence per goal that cannot be reached."""
    del planner
    words: list[str] = []
    for variable, goal in given_up:
        name, symbol = compiled.name(variable), compiled.symbol(variable, goal)
        writers = [a for a in compiled.actions if (variable, goal) in a.own and a.mutation]
        if not writers:
            words.append(f"nothing makes {name}={symbol}")
            continue
        lacking = [
            f"{a.name} requires "
            + " and ".join(
                f"{compiled.name(v)}=" + "|".join(sorted(compiled.symbol(v, x) for x in allowed))
                for v, allowed in a.reads
                if state[v] not in allowed
            )
            for a in writers
        ]
        words.append(f"no path to {name}={symbol}: " + "; ".join(lacking))
    return "; ".join(words) or "no path"


def reasons(compiled: Compiled, steps: Sequence[Action], goals: Goals) -> tuple[str, ...]:
    """For each step, what it is for: a goal, or the later step that needs it."""
    wanted = dict(goals)
    found: list[str] = []
    for place, step in enumerate(steps):
        serves: list[str] = []
        for variable, value in step.writes:
            for later in steps[place + 1 :]:
                if any(v == variable and value in allowed for v, allowed in later.reads):
                    serves.append(f"{later.name} needs {_is(compiled, variable, value)}")
                    break
                if any(v == variable for v, _ in later.writes):
                    break
            else:
                if wanted.get(variable) == value:
                    serves.append(f"{_is(compiled, variable, value)} is configured")
        found.append("; ".join(dict.fromkeys(serves)) or "leads on")
    return tuple(found)


def _is(compiled: Compiled, variable: int, value: int) -> str:
    return f"{compiled.name(variable)}={compiled.symbol(variable, value)}"
