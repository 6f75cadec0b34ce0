"""The phase of a node, in words: what it is doing, why, and what is next."""

from __future__ import annotations

from kedge.core.condition import Phase
from kedge.core.engine.common import Common
from kedge.core.engine.failing import end_episode, quarantine
from kedge.core.engine.record import Episode, Failures, Record
from kedge.core.planner.order import Plan


def settle(common: Common, record: Record, phase: Phase, why: str, next_step: str) -> None:
    """Set the phase; only a change of phase is an event and begins a new *since*."""
    if record.phase != phase or not record.why:
        before = record.phase if record.why else ""
        record.since = common.now
        common.note(record, "phase", phase, before, phase, why)
    record.phase, record.why, record.next_step = phase, why, next_step
    if phase == "converged":
        record.lost = None
        if common.now >= record.configured_at + common.settings.grace_s:
            record.pardoned = False


def moving(common: Common, record: Record, episode: Episode, plan: Plan) -> None:
    """A plan is under way: moving while a step runs, waiting otherwise."""
    if episode.running:
        names = ", ".join(r.action.name for r in episode.running)
        awaited = all(
            r.action.mutation is not None and r.action.mutation.where == "waits"
            for r in episode.running
        )
        phase = "waiting" if awaited else "moving"
        why = f"on {names}" if awaited else names
        settle(common, record, phase, f"{why} ({episode.cause})", _next(plan, episode))
    else:
        why = episode.waits or "for its turn"
        settle(common, record, "waiting", why, episode.waits_next or _next(plan, episode))


def _next(plan: Plan, episode: Episode) -> str:
    flying = {r.place for r in episode.running}
    for place, step in enumerate(plan.steps):
        if not episode.done >> place & 1 and place not in flying:
            return step.name
    return ""


def blocked(common: Common, record: Record, episode: Episode, plan: Plan) -> None:
    """No path leads to some goal: quarantine where that is because steps failed, else blocked."""
    compiled = common.compiled
    forbidden = [(n, f) for n, f in sorted(episode.failures.items()) if f.forbidden]
    if forbidden:
        words = "; ".join(
            f"{compiled.actions[n].name} {_often(f)}: {f.reason}" for n, f in forbidden
        )
        hints = [f.next_step for _, f in forbidden if f.next_step]
        quarantine(common, record, words, hints[0] if hints else "")
        return
    why = common.explainer.obstacles(record.state, plan.given_up)
    end_episode(common, record)
    settle(common, record, "blocked", why, f"kedge plan {record.name}")


def _often(failures: Failures) -> str:
    if failures.count == 1:
        return "failed"
    return f"{'was done' if failures.repeated else 'failed'} {failures.count} times"
