"""What outlives a restart: quarantines, attempts made, requests, learned costs. All else is discovered.

Nothing observed is kept, so nothing old can be believed; steps in flight are forgotten, and whether
they had their effect is seen. Attempts are kept, so that a head that restarts in a loop does not give
a broken node endless attempts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kedge.core.engine.common import Common
from kedge.core.engine.record import Episode, Failures, Quarantine, Record, Span
from kedge.core.events import Requested


@dataclass(slots=True)
class Saved:
    """What is known of a node from before the restart."""

    quarantine: Quarantine | None = None
    failures: dict[str, Failures] = field(default_factory=dict[str, Failures])
    requests: list[Requested] = field(default_factory=list[Requested])
    surprises: float | None = None
    span: float | None = None


def export(common: Common, unclaimed: Mapping[str, Saved], *, costs: bool) -> dict[str, Any]:
    """As JSON; nodes restored but not yet configured are passed on."""
    nodes = {name: _write(saved) for name, saved in unclaimed.items()}
    for record in common.nodes.apart():  # a plain node has nothing to keep
        name = record.name
        saved = Saved(record.quarantine, requests=list(record.requests or ()))
        if record.episode is not None:
            saved.failures = {
                common.compiled.actions[number].name: failures
                for number, failures in record.episode.failures.items()
            }
        if record.surprises < common.settings.surprises:
            saved.surprises = record.surprises
        if record.span is not None and record.span.begun:
            saved.span = record.span.since
        written = _write(saved)
        if written:
            nodes[name] = written
    measured = common.costs.export() if costs else {}
    return {"version": 1, "restart": common.restart, "nodes": nodes, "costs": measured}


def _write(saved: Saved) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if saved.quarantine:
        q = saved.quarantine
        written["quarantine"] = {"reason": q.reason, "since": q.since, "next_step": q.next_step}
    if saved.failures:
        written["failures"] = {
            name: {
                "count": f.count,
                "reason": f.reason,
                "next_step": f.next_step,
                "until": f.until,
                "forbidden": f.forbidden,
                "repeated": f.repeated,
            }
            for name, f in saved.failures.items()
        }
    if saved.requests:
        written["requests"] = [
            {"id": r.request_id, "goals": dict(r.goals), "by": r.by} for r in saved.requests
        ]
    if saved.surprises is not None:
        written["surprises"] = saved.surprises
    if saved.span is not None:
        written["span"] = saved.span
    return written


def read(exported: Mapping[str, Any]) -> dict[str, Saved]:
    """The inverse of `export`."""
    found: dict[str, Saved] = {}
    for name, written in exported.get("nodes", {}).items():
        quarantine = written.get("quarantine")
        found[name] = Saved(
            Quarantine(**quarantine) if quarantine else None,
            {action: Failures(**f) for action, f in written.get("failures", {}).items()},
            [Requested(name, r["goals"], r["id"], r["by"]) for r in written.get("requests", ())],
            written.get("surprises"),
            written.get("span"),
        )
    return found


def revive(common: Common, record: Record, saved: Saved) -> None:
    """Give a node back what it had before the restart."""
    record.quarantine = saved.quarantine
    if saved.quarantine is not None:
        record.since = min(saved.quarantine.since, common.now)
        record.phase = "quarantined"
    record.requests = list(saved.requests) or None
    if saved.surprises is not None:
        record.surprises = saved.surprises
    if saved.span is not None:
        record.span = Span(min(saved.span, common.now), begun=True)
    actions = common.compiled.mutation_actions
    failures = {actions[n].number: f for n, f in saved.failures.items() if n in actions}
    if failures:
        costs = common.costs.table(record.hardware_class)
        record.episode = Episode(common.now, costs, failures=failures)
        latest = common.now + common.settings.backoff_most_s  # the clock may have begun anew
        for known in failures.values():
            known.until = min(known.until, latest)
            if not known.forbidden:
                common.after(max(0.0, known.until - common.now), record, "wake")
