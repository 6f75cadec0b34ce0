"""In service or out of it, and the span budgets: how many nodes may be out of service at once.

A node is *in service* while all that its configured goals stand on is seen to hold: the ``while_``
conditions of what it should be (its image means something only while it runs, and that only while it
has power), and goals that others stand on. One that should be off stands on nothing and is never
missed. A node that is not in service, or of which that is not known, uses its span pools whoever
brought it down; it may be brought back at any time, as that takes nothing from anybody.

A node that is in service takes its span, all pools at once, before its first step that breaks
something (`Plan.breaking`), while it holds no step budget. It keeps it until it has converged, or its
episode ends with the node in service; a quarantined one keeps it, so that a fault stops what goes
around, instead of spreading. If others go down after it took its span and before it began, it steps
back, and waits in its old place.
"""

from __future__ import annotations

from kedge.core.action import Values
from kedge.core.compiled import Compiled
from kedge.core.engine.common import Common, Ground
from kedge.core.engine.record import Episode, Record, Span
from kedge.core.engine.steps import node_of
from kedge.core.planner.task import Goals


def ground_of(compiled: Compiled, goals: Goals) -> Ground:
    """All that ``goals`` stand on; nothing for a node that cannot or should not be in service."""
    found: dict[int, Values] = {}

    def stand_on(variable: int, allowed: Values) -> None:
        found[variable] = found.get(variable, allowed) & allowed
        for parent, needed in compiled.guards[variable]:
            stand_on(parent, needed)

    wanted = dict(goals)
    for variable, goal in goals:
        if goal != compiled.initial[variable]:
            for parent, needed in compiled.guards[variable]:
                stand_on(parent, needed)
    for child in compiled.downwards:
        for variable, needed in compiled.guards[child]:
            if wanted.get(variable) in needed:
                stand_on(variable, frozenset([wanted[variable]]))
    return tuple(sorted(found.items())) if all(found.values()) else ()


def ground(common: Common, record: Record) -> Ground:
    """What the node's configured goals stand on."""
    known = common.grounds.get(record.goals)
    if known is None:
        known = common.grounds[record.goals] = ground_of(common.compiled, record.goals)
    return known


def is_down(common: Common, record: Record) -> bool:
    """Whether it should be in service and is not seen to be."""
    state = record.state
    return any(state[variable] not in allowed for variable, allowed in ground(common, record))


def count(common: Common, record: Record) -> None:
    """Note whether the node uses its span pools by itself. Call after its view or goals changed."""
    pools = record.spans if is_down(common, record) and not record.elsewhere else ()
    _wake(common, common.spans.count(record.name, pools))


def may_break(common: Common, record: Record, episode: Episode, wanted: set[str]) -> bool:
    """Whether a step may begin that breaks something: the node has its span, or takes it now."""
    name, spans = record.name, common.spans
    if not record.spans or not ground(common, record):
        return True
    if record.span is not None:
        if record.span.begun or is_down(common, record) or not spans.overdrawn(name):
            return True
        record.span = None
        wanted.add(name)
        episode.queued.add(name)
        _note(common, record, "taken", "stepped back: others went down")
        _wake(common, spans.step_back(name))
        return False
    for running in episode.running:
        if common.budgets.holds(f"{name}/{running.action.name}"):
            episode.waits = f"for {running.action.name} to end"
            return False
    wanted.add(name)
    if not spans.take(name, record.spans):
        episode.queued.add(name)
        return False
    episode.queued.discard(name)
    record.span = Span(common.now)
    _note(common, record, "", "taken")
    _wake(common, spans.heads(name))
    return True


def leave(common: Common, record: Record, why: str) -> None:
    """Give the span back."""
    if record.span is not None:
        record.span = None
        _note(common, record, "taken", f"given back: {why}")
        _wake(common, common.spans.release(record.name))


def reconfigured(common: Common, record: Record) -> None:
    """The node's goals or pools may have changed: count it, and move its span to where it is now."""
    count(common, record)
    if record.span is not None:
        if record.spans and ground(common, record):
            _wake(common, common.spans.hold(record.name, record.spans))
        else:
            leave(common, record, "it should not be in service any more")


def gone(common: Common, record: Record) -> None:
    """The node was removed."""
    leave(common, record, "the node was removed")
    _wake(common, common.spans.count(record.name, ()))


def _wake(common: Common, waiters: list[str]) -> None:
    for waiter in waiters:
        common.wake(node_of(waiter))


def _note(common: Common, record: Record, before: str, after: str) -> None:
    pools = ", ".join(f"{budget} of {pool}" for budget, pool in record.spans)
    common.note(record, "budget", pools, before, after)
