"""The course of a class of nodes: from a state to some goals, and on to others, with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kedge.core.action import UNKNOWN_VALUE, Action, State
from kedge.core.condition import PlannedStep
from kedge.core.engine.common import Common
from kedge.core.explain import reasons
from kedge.core.paths import planned_steps
from kedge.core.planner.task import CostTable, Goals, Penalties


@dataclass(frozen=True, slots=True)
class Course:
    """The steps of one or several plans, one after the other, from ``start`` to ``end``.

    ``actions`` and ``reasons`` go with ``steps``, place by place. ``hopes`` are the outcomes that the
    plan expects of its discoveries. Where some goals are ``given_up``, ``blocked_by`` says what is in
    the way.
    """

    start: State
    end: State
    steps: tuple[PlannedStep, ...]
    actions: tuple[Action, ...]
    reasons: tuple[str, ...]
    proven: bool
    given_up: Mapping[str, str]
    blocked_by: str
    hopes: Mapping[str, str]


def course(
    common: Common, start: State, turns: Sequence[Goals], penalties: Penalties, costs: CostTable
) -> Course:
    """Plan from ``start`` to each of ``turns`` in turn. The last are what is configured."""
    compiled = common.compiled
    steps: list[PlannedStep] = []
    actions: list[Action] = []
    why: list[str] = []
    state, proven, blocked_by = list(start), True, list[str]()
    given_up: dict[str, str] = {}
    for turn, goals in enumerate(turns):
        plan = common.planner.plan(state, goals, penalties, costs)
        ends, offset = _ends(steps), len(steps)
        steps += [
            replace(step, after=tuple(place + offset for place in step.after) or ends)
            for step in planned_steps(compiled, plan, 0, costs)
        ]
        actions += plan.steps
        words = "is configured" if turn == len(turns) - 1 else "is asked for"
        why += reasons(compiled, plan.steps, goals, as_goals=words)
        proven = proven and plan.proven
        if plan.given_up:
            given_up.update(compiled.named(plan.given_up))
            blocked_by.append(common.explainer.obstacles(state, plan.given_up, penalties))
        for action in plan.steps:
            for variable, value in action.writes:
                state[variable] = value
    hopes = {
        name: symbol
        for action in actions
        if action.discovery >= 0
        for name, symbol in compiled.named(action.own).items()
    }
    return Course(
        start, tuple(state), tuple(steps), tuple(actions), tuple(why),
        proven, given_up, "; ".join(dict.fromkeys(blocked_by)), hopes,
    )  # fmt: skip


def _ends(steps: Sequence[PlannedStep]) -> tuple[int, ...]:
    """The places that no other step comes after."""
    inner = {place for step in steps for place in step.after}
    return tuple(place for place in range(len(steps)) if place not in inner)


def as_new(common: Common, state: Sequence[int]) -> tuple[State, dict[str, str]]:
    """``state`` with every unknown variable at what a new machine has: its initial symbol, or the first
    one declared. Also those that were unknown, by name."""
    compiled = common.compiled
    filled = [
        value or compiled.initial[variable] or UNKNOWN_VALUE + 1
        for variable, value in enumerate(state)
    ]
    compiled.normalise(filled)
    taken = {
        compiled.name(variable): compiled.symbol(variable, filled[variable])
        for variable, value in enumerate(state)
        if value == UNKNOWN_VALUE
    }
    return tuple(filled), taken
