"""One-time requests of a person: passed through first, then the configured goals count again.

A request that no way leads to is given up with the reason, so that it never keeps a node from what
is configured.
"""

from __future__ import annotations

from kedge.core.engine.common import Common
from kedge.core.engine.record import Record
from kedge.core.events import RequestDone
from kedge.core.planner.task import Goals


def goals_now(common: Common, record: Record) -> Goals:
    """The goals of the oldest request over the configured ones, or just those."""
    if not record.requests:
        return record.goals
    merged = {**common.compiled.named(record.goals), **record.requests[0].goals}
    return common.compiled.assignment(common.graph.meaningful(merged))


def fulfil(common: Common, record: Record) -> None:
    """End the requests that are fulfilled, oldest first."""
    while record.requests:
        wanted = common.compiled.assignment(record.requests[0].goals)
        if any(record.state[v] != value for v, value in wanted):
            return
        _end_request(common, record, "")


def _end_request(common: Common, record: Record, reason: str) -> None:
    assert record.requests
    request = record.requests.pop(0)
    record.requests = record.requests or None
    common.effects.append(RequestDone(record.name, request.request_id, reason))
    common.note(record, "request", request.request_id, after=reason or "done", cause=request.by)
    if record.episode is not None:
        record.episode.plan, record.episode.new_goals = None, True


def drop_requests(common: Common, record: Record, reason: str) -> None:
    """Give up all requests."""
    while record.requests:
        _end_request(common, record, reason)


def give_up(common: Common, record: Record) -> bool:
    """Where a request cannot be fulfilled, say so and go on without it."""
    episode = record.episode
    if not record.requests or episode is None or episode.plan is None:
        return False
    wanted = common.compiled.assignment(record.requests[0].goals)
    lacking = [pair for pair in episode.plan.given_up if pair in wanted]
    if not lacking:
        return False
    words = ", ".join(
        f"{common.compiled.name(v)}={common.compiled.symbol(v, x)}" for v, x in lacking
    )
    _end_request(common, record, f"no way leads to {words}")
    return True
