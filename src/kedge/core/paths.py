"""A plan as people see it: the steps that are left of it, with what each waits for."""

from __future__ import annotations

from kedge.core.compiled import Compiled
from kedge.core.condition import PlannedStep
from kedge.core.planner.order import Plan
from kedge.core.planner.task import CostTable


def planned_steps(
    compiled: Compiled, plan: Plan, done: int, costs: CostTable
) -> tuple[PlannedStep, ...]:
    """The steps still to come, ``done`` being the mask of those that are over; ``after`` are indices
    into what is returned, without those that follow from others."""
    left = [place for place in range(len(plan.steps)) if not done >> place & 1]
    at = {place: i for i, place in enumerate(left)}
    shown: list[PlannedStep] = []
    for place in left:
        step = plan.steps[place]
        before = plan.before[place]
        direct = before
        for other in left:
            if before >> other & 1:
                direct &= ~plan.before[other]
        shown.append(
            PlannedStep(
                step.name,
                compiled.named(step.own),
                costs.durations_s[step.number],
                step.mutation.where if step.mutation else _how(compiled, step.discovery),
                tuple(at[i] for i in left if direct >> i & 1),
                step.destructive,
                bool(plan.breaking >> place & 1),
            )
        )
    return tuple(shown)


def _how(compiled: Compiled, discovery: int) -> str:
    handler = compiled.asks[discovery].discovery.handler
    return "listens" if handler is None else "discovers"
