"""A node's record in words: its condition, and the path it would take, with reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kedge.core.condition import Condition, PlannedStep, RunningStep
from kedge.core.engine.common import Common
from kedge.core.engine.failing import penalties
from kedge.core.engine.phases import describe, waits
from kedge.core.engine.queueing import Wait, places
from kedge.core.engine.record import Record
from kedge.core.engine.requests import goals_now
from kedge.core.explain import reasons
from kedge.core.paths import planned_steps
from kedge.core.planner.task import Goals

RESTLESS = 2
"""So often a node may have changed by itself before that is shown."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The path from where a node is to where it should be: the steps still to come, and their cost.

    ``reasons`` has one sentence per step; ``blocked_by`` says what is in the way where there is no
    path; ``waits`` what the next step waits for, and ``queues`` its places in
    the queues of budgets; ``proven`` whether no cheaper path exists.
    """

    node: str
    plan: tuple[PlannedStep, ...]
    reasons: tuple[str, ...]
    cost_s: int
    proven: bool
    given_up: tuple[str, ...]
    blocked_by: str
    waits: str
    queues: tuple[Wait, ...] = ()


def condition(common: Common, record: Record) -> Condition:
    """What a person sees of the node."""
    compiled, episode = common.compiled, record.episode
    failures: dict[str, str] = {}
    for number, deaf in sorted((record.deaf or {}).items()):
        failures[compiled.asks[number].discovery.name] = _failure(deaf.reason, deaf.next_step)
    changes = _own_changes(common, record)
    if changes >= RESTLESS:
        often = f"it changed by itself {changes} times lately (kedge events {record.name})"
        failures["unrest"] = often
    plan: tuple[PlannedStep, ...] = ()
    given_up: tuple[str, ...] = ()
    if episode is not None:
        for number, failed in sorted(episode.failures.items()):
            failures[compiled.actions[number].name] = _failure(failed.reason, failed.next_step)
        for variable, reason in sorted(episode.assumed.items()):
            failures[compiled.name(variable)] = f"assumed, not seen: {reason}"
        if episode.plan is not None:
            plan = planned_steps(compiled, episode.plan, episode.done, episode.costs)
            given_up = tuple(compiled.named(episode.plan.given_up))
    why, coming = describe(common, record)
    return Condition(
        node=record.name,
        phase=record.phase,
        since=_since(record),
        why=why,
        next=coming,
        discovered=compiled.symbols(record.state),
        goals=compiled.named(record.goals),
        running=tuple(
            RunningStep(r.action.name, r.step_id, r.since, r.deadline) for r in record.running
        ),
        plan=plan,
        given_up=given_up,
        failures=failures,
    )


def _own_changes(common: Common, record: Record) -> int:
    """How often the node changed by itself lately, as far as that is not forgotten."""
    settings = common.settings
    refill = (common.now - record.refilled_at) / settings.surprise_refill_s
    return math.ceil(settings.surprises - min(settings.surprises, record.surprises + refill))


def _since(record: Record) -> float:
    """Since when the node is in its phase; of one on its way, since when it is: it moves and waits by
    turns."""
    if record.phase in ("moving", "waiting") and record.episode is not None:
        return min(record.since, record.episode.since)
    return record.since


def _failure(reason: str, next_step: str) -> str:
    return f"{reason}. {next_step}" if next_step else reason


def explain(common: Common, record: Record) -> Explanation:
    """Plan from the present view and say why; changes nothing."""
    episode = record.episode
    goals = goals_now(common, record)
    penalised = penalties(episode) if episode else ()
    if episode is not None and episode.plan is not None:
        plan, done, costs = episode.plan, episode.done, episode.costs
    else:
        costs = common.costs.table(record.hardware_class)
        plan = common.planner.plan(record.state, goals, penalised, costs)
        done = 0
    left = [step for place, step in enumerate(plan.steps) if not done >> place & 1]
    return Explanation(
        record.name,
        planned_steps(common.compiled, plan, done, costs),
        reasons(common.compiled, left, goals),
        sum(costs.durations_s[step.number] for step in left),
        plan.proven,
        tuple(common.compiled.named(plan.given_up)),
        common.explainer.obstacles(record.state, plan.given_up, penalised) if plan.given_up else "",
        waits(common, record, episode)[0] if episode else "",
        places(common, record),
    )


def plan_to(common: Common, record: Record, goals: Goals, seen: Goals) -> Explanation:
    """The path to other goals, from the present view with ``seen`` put in; changes nothing."""
    state = list(record.state)
    for variable, value in seen:
        state[variable] = value
    costs = common.costs.table(record.hardware_class)
    plan = common.planner.plan(state, goals, (), costs)
    return Explanation(
        record.name,
        planned_steps(common.compiled, plan, 0, costs),
        reasons(common.compiled, plan.steps, goals, as_goals="is the goal"),
        sum(costs.durations_s[step.number] for step in plan.steps),
        plan.proven,
        tuple(common.compiled.named(plan.given_up)),
        common.explainer.obstacles(state, plan.given_up, ()) if plan.given_up else "",
        "",
    )
