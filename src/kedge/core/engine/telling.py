"""What people tell the engine: how a node is configured, what they request, that it goes.

A person's word begins a new episode: what failed before is forgiven, a quarantine ends, and the
breaker lets the node through once.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from kedge.core.engine import keeping
from kedge.core.engine.asking import begin_polls
from kedge.core.engine.common import Common
from kedge.core.engine.failing import end_episode
from kedge.core.engine.record import Record
from kedge.core.engine.requests import drop_requests
from kedge.core.engine.service import gone, leave, reconfigured
from kedge.core.engine.steps import end_step, withdraw
from kedge.core.engine.together import CONFIGURED, take
from kedge.core.events import ConfiguredMany, GroupLeased, RequestDone, Requested
from kedge.core.planner.task import Goals


def configure(common: Common, event: ConfiguredMany, kept: dict[str, keeping.Saved]) -> None:
    """Nodes are configured, for the first time or anew. ``kept`` is from before a restart."""
    goals = common.compiled.assignment(common.graph.meaningful(event.goals))
    alike: dict[tuple[bool, bool], list[int]] = {}
    for node, fingerprint in zip(event.nodes, event.fingerprints, strict=True):
        row = common.nodes.rows.get(node)
        new = row is None
        if row is None:
            row = _add(common, node, event.group)
        told = not fingerprint or fingerprint != common.nodes.fingerprints[row]
        common.nodes.fingerprints[row] = fingerprint
        saved = kept.pop(node, None)
        if new and saved is not None:
            record = common.nodes.open(row, common.now)
            _configured(common, event, goals, new, told, record, saved)
        else:
            alike.setdefault((new, told), []).append(row)
    same = (
        goals, event.hold, event.group, event.hardware_class, event.limits, event.spans,
        event.elsewhere,
    )  # fmt: skip
    for (new, told), rows in alike.items():
        act = partial(_configured, common, event, goals, new, told)
        take(common, np.array(rows, np.int32), (CONFIGURED, same, new, told), act)


def _add(common: Common, node: str, group: str) -> int:
    """A node of which nothing is known."""
    nothing = common.compiled.nothing_known
    record = Record(
        node, nothing, nothing, group=group, refilled_at=common.now,
        surprises=float(common.settings.surprises),
    )  # fmt: skip
    row = common.nodes.add(record)
    common.nodes.fold_row(row, common.now)
    common.breaker.join(group)
    begin_polls(common, int(common.nodes.columns.bucket[row]))
    return row


def _configured(
    common: Common,
    event: ConfiguredMany,
    goals: Goals,
    new: bool,
    told: bool,
    record: Record,
    saved: keeping.Saved | None = None,
) -> None:
    changed = told or goals != record.goals or event.hold != record.hold
    changed = changed or event.elsewhere != record.elsewhere
    note_goals(common, record, goals)
    if record.group != event.group:
        common.breaker.leave(record.group, record.name)
        common.breaker.join(event.group)
    record.goals, record.group, record.hold = goals, event.group, event.hold
    record.elsewhere = event.elsewhere
    record.hardware_class = event.hardware_class
    if (event.limits, event.spans) != (record.limits, record.spans):
        record.limits, record.spans = event.limits, event.spans
        withdraw(common, record)
    if saved is not None:
        keeping.revive(common, record, saved)
    elif changed and not new:
        record.configured_at = common.now
        forgive(common, record)
    reconfigured(common, record)
    if record.hold:
        drop_requests(common, record, f"the node is held: {record.hold}")
        withdraw(common, record)
    if record.elsewhere:
        drop_requests(common, record, f"{record.elsewhere} acts on the node")
        _let_go(common, record)
    common.wake(record.name)


def _let_go(common: Common, record: Record) -> None:
    """Somebody else acts on the node now: nothing that was begun here goes on."""
    withdraw(common, record)
    for running in list(record.running):
        end_step(common, record, running, "dropped", f"{record.elsewhere} acts on the node now")
    end_episode(common, record)
    leave(common, record, f"{record.elsewhere} acts on the node now")
    record.quarantine = record.asking = record.deaf = None


def leased(common: Common, event: GroupLeased) -> None:
    """Destructive steps of a group may begin, or not any more."""
    if common.unleased.get(event.group, "") == event.why:
        return
    if event.why:
        common.unleased[event.group] = event.why
    else:
        common.unleased.pop(event.group, None)
    common.transitions.clear()
    names = dict.fromkeys(common.nodes.differing())
    # (a request may want something else than what is configured, and found)
    names.update((record.name, None) for record in common.nodes.apart() if record.requests)
    for name in names:
        record = common.look(name)
        if record is not None and record.group == event.group:
            common.wake(name)


def note_goals(common: Common, record: Record, goals: Goals) -> None:
    before, after = (common.compiled.named(g) for g in (record.goals, goals))
    for name in sorted({*before, *after}):
        was, is_now = before.get(name, ""), after.get(name, "")
        if was != is_now:
            common.note(record, "goal", name, was, is_now, "configured")


def forgive(common: Common, record: Record) -> None:
    """A person changed something or wants another try: a new episode, nothing held against it."""
    record.quarantine = None
    record.deaf = None
    record.pardoned = True
    record.surprises = float(common.settings.surprises)
    common.breaker.pardon(record.group, record.name)
    if record.episode is not None:
        record.episode.failures.clear()
        record.episode.costs = common.costs.table(record.hardware_class)
        record.episode.plan, record.episode.new_goals = None, True


def request(common: Common, event: Requested) -> None:
    record = common.nodes.get(event.node, common.now)
    reason = ""
    if record is None:
        reason = "no such node"
    elif record.elsewhere:
        reason = f"{record.elsewhere} acts on the node"
    elif record.hold:
        reason = f"the node is held: {record.hold}"
    elif record.quarantine:
        reason = f"the node is quarantined: {record.quarantine.reason}"
    elif len(common.compiled.assignment(event.goals)) != len(event.goals):
        reason = "unknown variable or symbol: " + ", ".join(
            f"{name}={symbol}" for name, symbol in sorted(event.goals.items())
        )
    if reason or record is None:
        common.effects.append(RequestDone(event.node, event.request_id, reason))
        return
    record.requests = [*(record.requests or ()), event]
    words = ", ".join(f"{name}={symbol}" for name, symbol in sorted(event.goals.items()))
    common.note(record, "request", event.request_id, after=words, cause=event.by)
    if record.episode is not None:
        record.episode.plan, record.episode.new_goals = None, True
    common.wake(record.name)


def remove(common: Common, record: Record) -> None:
    drop_requests(common, record, "the node was removed")
    for running in list(record.running):
        end_step(common, record, running, "dropped", "the node was removed")
    end_episode(common, record)
    gone(common, record)
    common.breaker.leave(record.group, record.name)
    common.nodes.remove(record.name)
