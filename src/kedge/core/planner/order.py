"""From a sequence of actions to a partial order that may run side by side.

Step a stays before step b where one writes what the other reads or writes; all else commutes, so
every order that respects these pairs ends in the same state. On top of that, a *breaking* step (it
is destructive, or breaks a goal that holds) comes after every step that does not depend on a
breaking one: what can be done while the node works is done, and has succeeded, before the node is
disturbed. An image is fetched before the old one is shut down, and if it cannot be, it never is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kedge.core.action import Action
from kedge.core.compiled import Compiled
from kedge.core.planner.task import Goals


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in one valid order; ``before[i]`` is the bit mask of those that must be done first.

    ``relevant`` are the variables whose surprise matters: read or written by a step, or a goal.
    ``given_up`` are goals that no path reaches. ``cost`` leaves the price of giving up out.
    ``hopes`` are its discoveries, by place; ``all_done`` the mask of all steps.
    """

    steps: tuple[Action, ...]
    before: tuple[int, ...]
    breaking: int
    relevant: frozenset[int]
    given_up: Goals
    cost: int
    proven: bool
    hopes: tuple[tuple[int, Action], ...] = ()
    all_done: int = 0
    _purposes: dict[Goals, tuple[Goals, ...]] = field(
        default_factory=dict[Goals, tuple[Goals, ...]], compare=False
    )
    _ready: dict[tuple[int, int], tuple[int, ...]] = field(
        default_factory=dict[tuple[int, int], tuple[int, ...]], compare=False
    )

    def purposes(self, goals: Goals) -> tuple[Goals, ...]:
        """For each step the goals that it leads to; remembered, as many nodes share the plan."""
        known = self._purposes.get(goals)
        if known is None:
            known = self._purposes[goals] = purposes(self.steps, goals)
        return known

    def ready(self, done: int, flying: int) -> tuple[int, ...]:
        """The steps whose turn it is, ``done`` and ``flying`` being masks; the same for all nodes
        that share the plan, so it is remembered."""
        known = self._ready.get((done, flying))
        if known is None:
            known = tuple(
                place
                for place, before in enumerate(self.before)
                if not (done | flying) >> place & 1 and not before & ~done
            )
            self._ready[done, flying] = known
        return known


def purposes(steps: Sequence[Action], goals: Goals) -> tuple[Goals, ...]:
    """For each step the goals that it leads to: those it brings about itself first, then those of
    the later steps that need what it writes."""
    wanted = dict(goals)
    found: list[Goals] = [()] * len(steps)
    for place in reversed(range(len(steps))):
        own: list[tuple[int, int]] = []
        onward: list[tuple[int, int]] = []
        for variable, value in steps[place].writes:
            for later in range(place + 1, len(steps)):
                if value in steps[later].reads_of.get(variable, ()):
                    onward += found[later]
                if variable in steps[later].writes_of:
                    break
            else:
                if wanted.get(variable) == value:
                    own.append((variable, value))
        found[place] = tuple(dict.fromkeys((*own, *onward)))
    return tuple(found)


def conflict(one: Action, two: Action) -> bool:
    """Whether one writes what the other reads or writes."""
    written = one.writes_of.keys()
    return not (
        written.isdisjoint(two.writes_of)
        and written.isdisjoint(two.reads_of)
        and two.writes_of.keys().isdisjoint(one.reads_of)
    )


def arrange(
    compiled: Compiled,
    numbers: Sequence[int],
    state: Sequence[int],
    goals: Goals,
    cost: int,
    proven: bool,
) -> Plan:
    """The plan whose steps in order are the actions ``numbers``, from ``state``."""
    steps = tuple(compiled.actions[n] for n in numbers)
    before: list[int] = []
    for j, step in enumerate(steps):
        mask = 0
        for i in range(j):
            if conflict(steps[i], step):
                mask |= 1 << i | before[i]
        before.append(mask)
    held = {v: g for v, g in goals if state[v] == g}
    breaking = _mask(i for i, step in enumerate(steps) if _breaks(step, held))
    early = _mask(
        i for i in range(len(steps)) if not (breaking >> i & 1) and not before[i] & breaking
    )
    ordered = [mask | early if breaking >> i & 1 else mask for i, mask in enumerate(before)]
    end = list(state)
    relevant = {v for v, _ in goals}
    for step in steps:
        relevant.update(v for v, _ in step.reads)
        for variable, value in step.writes:
            relevant.add(variable)
            end[variable] = value
    given_up = tuple((v, g) for v, g in goals if end[v] != g)
    return Plan(
        steps,
        tuple(ordered),
        breaking,
        frozenset(relevant),
        given_up,
        cost,
        proven,
        tuple((place, step) for place, step in enumerate(steps) if step.discovery >= 0),
        (1 << len(steps)) - 1,
    )


def _breaks(step: Action, held: dict[int, int]) -> bool:
    if step.destructive:
        return True
    return any(v in held and held[v] != value for v, value in step.writes)


def _mask(numbers: Iterable[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask
