"""What goes wrong is counted, so that it ends: failures of steps, of discoveries, and surprises.

Why every episode ends: within one, costs are frozen and penalties only rise. Each failure takes one
of an action's few attempts; each surprise without a step in flight takes one from a store that only
wall time refills; each discovery makes an unknown known; each finished step makes the plan shorter.
A mutation that succeeds time and again without the episode ending is forbidden as well: a hope that
is always disappointed must not go on for ever. So (attempts, repeats and surprises left, unknowns,
plan) falls lexicographically, and every step and every wait has a deadline. When an action's attempts
are spent it is forbidden, and where no path is left the node is quarantined with the reason.

A step that is put off, since the device that carries it out is not reached, is like a question that
nobody answers: it takes no attempt, and its node waits for the device, and says so.
"""

from __future__ import annotations

from collections.abc import Collection

from kedge.core.action import Action
from kedge.core.engine.common import Common
from kedge.core.engine.record import Episode, Failures, Quarantine, Record, Running
from kedge.core.engine.steps import end_step, withdraw
from kedge.core.planner.task import FORBIDDEN, Penalties

NEXT_GEAR = 10_000
"""The penalty after two failures: any other way is better."""


def backoff(common: Common, record: Record, failures: Failures, first_s: float = 0.0) -> None:
    """Count a failure and say when to try again: exponentially later, with jitter. ``first_s`` is the least
    pause after the first one."""
    failures.count += 1
    _later(common, record, failures, failures.count, first_s)


def _later(
    common: Common, record: Record, failures: Failures, times: int, first_s: float = 0.0
) -> None:
    settings = common.settings
    first_s = max(first_s, settings.backoff_s)
    delay = min(settings.backoff_most_s, first_s * 2 ** min(times - 1, 16))
    failures.until = common.now + delay * common.chance.uniform(
        0.75, 1.25, f"{record.name}/{times}/{common.now}"
    )


def put_off(
    common: Common, record: Record, running: Running, reason: str, next_step: str = ""
) -> None:
    """A step could not be tried, or nobody can see whether it had its effect, since a device is not
    reached. It takes no attempt and no penalty; it begins again later, or as soon as the device answers
    (`reached`). Its node waits meanwhile, and says for what."""
    episode, number = record.episode, running.action.number
    assert episode is not None
    failures = episode.failures.setdefault(number, Failures())
    failures.reason, failures.next_step = reason, next_step
    failures.put_off += 1
    _later(common, record, failures, failures.put_off)
    episode.starts[number] -= 1
    end_step(common, record, running, "put off", reason)
    common.after(failures.until - common.now, record, "wake")


def reached(common: Common, record: Record, variables: Collection[int]) -> None:
    """A device has told of some variables: what was put off because it could not be reached may begin."""
    for number, failures in record.episode.failures.items() if record.episode else ():
        own = common.compiled.actions[number].own
        if failures.put_off and any(variable in variables for variable, _ in own):
            failures.put_off, failures.until = 0, common.now
            common.wake(record.name)


def fail_step(
    common: Common,
    record: Record,
    running: Running,
    outcome: str,
    reason: str,
    next_step: str = "",
    permanent: bool = False,
) -> None:
    """A step ended without its effect: one attempt less, a penalty, a pause, and another plan."""
    episode = record.episode
    assert episode is not None
    action = running.action
    failures = episode.failures.setdefault(action.number, Failures())
    failures.reason, failures.next_step = reason, next_step or _hint(common, record, action)
    mutation = action.mutation
    costly = outcome == "timeout" and mutation is not None and bool(mutation.on_timeout)
    backoff(common, record, failures, mutation.timeout_s / 2 if costly and mutation else 0.0)
    failures.forbidden = permanent or failures.count >= common.settings.attempts
    if failures.forbidden or failures.count > 1:
        episode.plan = None  # the penalties changed; otherwise the plan still holds
    end_step(common, record, running, outcome, reason)
    if not failures.forbidden:
        common.after(failures.until - common.now, record, "wake")
    if action.destructive or (mutation and mutation.on_timeout):
        common.breaker.failed(record.group, record.name, common.now)


def _hint(common: Common, record: Record, action: Action) -> str:
    """What the mutation's module says to look at, where the node is now."""
    if action.mutation is None:
        return ""
    hints, variable = action.mutation.hints, action.own[0][0]
    return hints.get(common.compiled.symbol(variable, record.state[variable]), hints.get("", ""))


def forbid(common: Common, episode: Episode, action: Action) -> None:
    """It was done again and again, and still the goals are not reached."""
    failures = episode.failures.setdefault(action.number, Failures())
    failures.forbidden = failures.repeated = True
    failures.count = common.settings.repeats
    failures.reason = "and the goals are still not reached"


def surprised(common: Common, record: Record, variable: int, was: int) -> None:
    """Something changed by itself. Too often is a reason to leave the node alone."""
    settings = common.settings
    refill = (common.now - record.refilled_at) / settings.surprise_refill_s
    record.surprises = min(float(settings.surprises), record.surprises + refill)
    record.refilled_at = common.now
    common.breaker.failed(record.group, record.name, common.now)
    if record.surprises >= 1:
        record.surprises -= 1
        return
    compiled = common.compiled
    name = compiled.name(variable)
    quarantine(
        common,
        record,
        f"it keeps changing by itself: {name} went from {compiled.symbol(variable, was)} to "
        f"{compiled.symbol(variable, record.state[variable])}, "
        f"and there were over {settings.surprises} such surprises",
        "See when (kedge events {node}); look at its console and at its BMC's own log",
    )


def quarantine(common: Common, record: Record, reason: str, next_step: str = "") -> None:
    """Leave the node alone until a person has looked at it."""
    retry = "kedge node retry {node}"
    record.quarantine = Quarantine(
        reason, common.now, f"{next_step}; then: {retry}" if next_step else retry
    )
    end_episode(common, record)
    common.wake(record.name)


def end_episode(common: Common, record: Record) -> None:
    """Forget plan, penalties and places in queues; steps still in flight are only watched."""
    episode = record.episode
    if episode is None:
        return
    withdraw(common, record)
    if episode.running:
        for running in episode.running:
            running.place = -1
        episode.plan, episode.done = None, 0
        episode.failures.clear()
    else:
        record.episode = None


def penalties(episode: Episode) -> Penalties:
    """What the planner must add for this node's failures. A first failure adds nothing: it is tried
    again, and the many nodes that fail once stay in the class of those that did not."""
    return tuple(
        (number, FORBIDDEN if failures.forbidden else NEXT_GEAR)
        for number, failures in sorted(episode.failures.items())
        if failures.forbidden or failures.count >= 2
    )
