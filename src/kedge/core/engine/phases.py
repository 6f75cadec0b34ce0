"""The phase of a node, in words: what it is doing, why, and what is next."""

from __future__ import annotations

from kedge.core.condition import Phase
from kedge.core.engine.common import Common
from kedge.core.engine.failing import end_episode, quarantine
from kedge.core.engine.queueing import in_words, places
from kedge.core.engine.record import Episode, Failures, Record
from kedge.core.engine.requests import goals_now
from kedge.core.explain import unmet, words
from kedge.core.planner.order import Plan


def settle(common: Common, record: Record, phase: Phase, why: str, next_step: str) -> None:
    """Set a phase that has nothing under way, with its reason."""
    record.why, record.next_step = why, next_step
    if record.phase != phase or record.since < 0:
        _change(common, record, phase, why)
    if phase == "converged":
        record.lost = None
        if common.now >= record.configured_at + common.settings.grace_s:
            record.pardoned = False


def _change(common: Common, record: Record, phase: Phase, why: str) -> None:
    """Only a change of phase is an event and begins a new *since*."""
    before = record.phase if record.since >= 0 else ""
    record.phase, record.since = phase, common.now
    common.note(record, "phase", phase, before, phase, why)


def moving(common: Common, record: Record, episode: Episode) -> None:
    """A plan is under way: moving while a step runs, waiting otherwise. Why is said when asked."""
    phase: Phase = "waiting"
    for running in episode.running:
        if not running.awaited:
            phase = "moving"
            break
    if record.phase != phase or record.since < 0:
        _change(common, record, phase, _doing(common, record, episode)[0])


def describe(common: Common, record: Record) -> tuple[str, str]:
    """Why the node is in its phase, and what is next: for each step in flight what it brings about,
    and the goal that is not met without it."""
    episode = record.episode
    if record.phase not in ("moving", "waiting") or episode is None or episode.plan is None:
        return record.why, record.next_step.replace("{node}", record.name)
    why, coming = _doing(common, record, episode)
    return why, coming.replace("{node}", record.name)


def _doing(common: Common, record: Record, episode: Episode) -> tuple[str, str]:
    assert episode.plan is not None
    coming = _next(episode.plan, episode)
    if not episode.running:
        why, what_next = waits(common, record, episode)
        return why or "for its turn", what_next or coming
    steps: list[str] = []
    for running in episode.running:
        why = "it was begun before" if running.place < 0 else ""
        why = why or purpose(common, record, episode.plan, running.place)
        steps.append(f"{running.action.name}: {why}" if why else running.action.name)
    awaited = all(r.awaited for r in episode.running)
    return ("on " if awaited else "") + "; ".join(steps), coming


def waits(common: Common, record: Record, episode: Episode) -> tuple[str, str]:
    """What keeps the next steps back, and what a person can do about it."""
    told = [in_words(common, wait) for wait in places(common, record)]
    if episode.waits:
        told.append((episode.waits, episode.waits_next))
    hints = [what_next for _, what_next in told if what_next]
    return "; ".join(why for why, _ in told), hints[0] if hints else ""


def purpose(common: Common, record: Record, plan: Plan, place: int) -> str:
    """What a step of the plan is needed for now: its effect, and the unmet goal that it leads to.

    ``boot.stage=layer0, as image.running is none, should be wanted``; where the effect is the goal,
    the goal says all.
    """
    compiled, step = common.compiled, plan.steps[place]
    leads = plan.purposes(goals_now(common, record))[place]
    for goal in leads:
        why = unmet(compiled, record.state, (goal,))
        if why:
            return why if goal in step.own else f"{words(compiled, step.own)}, as {why}"
    return words(compiled, step.own)


def _next(plan: Plan, episode: Episode) -> str:
    """The step that comes next. To look is none: what is waited for stands in the reason."""
    flying = {r.place for r in episode.running}
    for place, step in enumerate(plan.steps):
        if step.discovery < 0 and not episode.done >> place & 1 and place not in flying:
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
    hands = [v.by_hand for v in common.compiled.variables if v.by_hand and f"{v.name}=" in why]
    settle(common, record, "blocked", why, hands[0] if hands else "kedge plan {node}")


def _often(failures: Failures) -> str:
    if failures.count == 1:
        return "failed"
    return f"{'was done' if failures.repeated else 'failed'} {failures.count} times"
