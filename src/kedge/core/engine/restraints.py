"""What keeps a step back that the plan would begin: its back-off, the breaker, and budgets.

The order matters. A step that may not begin for another reason takes nothing and stands in no queue;
the span is asked for while no step budget is held, and step budgets last, at the moment of beginning,
so that nothing that is held is held for nothing.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from kedge.core.action import Action
from kedge.core.engine.budgets import Pools
from kedge.core.engine.common import Common
from kedge.core.engine.record import Episode, Record
from kedge.core.engine.service import may_break
from kedge.core.engine.steps import holder, node_of
from kedge.core.engine.timers import Timer
from kedge.core.planner.order import Plan

DRAWN_KEPT = 100_000


def may_start(
    common: Common,
    record: Record,
    episode: Episode,
    step: Action,
    wanted: set[str],
    *,
    breaks: bool,
) -> bool:
    """Whether nothing outside the plan keeps the step back; else notes what does.

    ``wanted`` gathers the places in queues that the node still needs.
    """
    failures = episode.failures.get(step.number) if episode.failures else None
    if failures is not None and failures.until > common.now:
        episode.waits = f"to try {step.name} again: {failures.reason}"
        episode.waits_next = failures.next_step
        return False
    why = common.unleased.get(record.group) if step.destructive else None
    if why:
        episode.waits = f"with {step.name}: {why}"
        episode.waits_next = "kedge submaster list"
        return False
    if step.destructive and not _breaker_lets(common, record, episode, step):
        return False
    if breaks and not may_break(common, record, episode, wanted):
        return False
    if breaks and record.span is not None:
        wanted.add(record.name)
    return _takes_budgets(common, record, episode, step, wanted)


def too_soon(common: Common, episode: Episode, plan: Plan) -> bool:
    """Whether a step that comes later in the plan still pauses after a failure: nothing is destroyed on
    the way to what may not be tried yet. (A node that nobody hears may be well behind a cut.)"""
    for place, later in enumerate(plan.steps):
        failures = episode.failures.get(later.number)
        if failures and failures.until > common.now and not episode.done >> place & 1:
            episode.waits = f"to try {later.name} again: {failures.reason}"
            episode.waits_next = failures.next_step
            return True
    return False


def _breaker_lets(common: Common, record: Record, episode: Episode, step: Action) -> bool:
    if record.pardoned or record.requests:
        return True
    opened = common.breaker.open_until(record.group, common.now)
    if opened is None:
        return True
    until, failed, members = opened
    waiting = common.stalled.setdefault(record.group, set())
    if not waiting:
        delay_s = max(until - common.now, 1.0)
        common.timers.set(common.now, delay_s, Timer("group", group=record.group))
        cause = f"{failed} of {members} nodes failed at once"
        common.note(record, "breaker", record.group, after="open", cause=cause)
    waiting.add(record.name)
    episode.waits = (
        f"with {step.name}: {failed} of {members} nodes of group "
        f"{record.group or '(none)'} failed at once, so the breaker is open "
        f"(for {common.settings.breaker_window_s / 60:g} min after they failed)"
    )
    episode.waits_next = (
        "Look at what they share (a switch, power, the way to them); then: kedge node retry {node}"
    )
    return False


def draws(common: Common, step: Action, limits: Pools) -> Pools:
    """The pools of ``limits`` that a step draws from: of budgets that its mutation declares, and of
    those whose name is the mutation's or a pattern of it. What is only waited for draws from declared
    ones alone."""
    key = (step.number, limits)
    known = common.drawn.get(key)
    if known is None:
        if len(common.drawn) >= DRAWN_KEPT:
            common.drawn.clear()
        mutation = step.mutation
        assert mutation is not None
        known = common.drawn[key] = tuple(
            pool
            for pool in limits
            if pool[0] in mutation.budgets
            or (mutation.where != "waits" and fnmatchcase(mutation.name, pool[0]))
        )
    return known


def _takes_budgets(
    common: Common, record: Record, episode: Episode, step: Action, wanted: set[str]
) -> bool:
    pools = draws(common, step, record.limits) if record.limits else ()
    if not pools:
        return True
    name = holder(record, step)
    wanted.add(name)
    if common.budgets.take(name, pools):
        episode.queued.discard(name)
        for waiter in common.budgets.heads(name):
            common.wake(node_of(waiter))
        return True
    episode.queued.add(name)
    return False
