"""What an observation changes: the view, the steps it ends or contradicts, the plan it fits or not.

The view holds what was last seen, with resets applied (`Compiled.normalise`). A child that is seen
with a meaning of its own although its parent is known to forbid that makes the *parent* unknown: the
child was seen later, so what is known of the parent is out of date.

An observation *fits* when it is what a step in flight brings about (its effect, a ``via`` symbol, its
starting value, or unknown), or the outcome that the plan hoped a discovery to have. All else that
touches a variable the plan speaks of is a surprise: the plan is dropped. A step in flight ends as
done when all its declared effects are seen, and as failed when one of its variables is seen where
it cannot be, so no step outlives its own premises.
"""

from __future__ import annotations

from collections.abc import Sequence

from kedge.core.action import UNKNOWN_VALUE, State
from kedge.core.engine.common import Common, Move, Seen
from kedge.core.engine.failing import fail_step, surprised
from kedge.core.engine.record import Episode, Record, Running
from kedge.core.engine.service import count
from kedge.core.engine.steps import end_step

MOVES_KEPT = 100_000


def learn(
    common: Common, record: Record, seen: Seen, by: str, *, fresh: bool = True, assumed: str = ""
) -> None:
    """Take in what was seen (or, with a reason, ``assumed``), and look at the node again if it matters."""
    before = record.state
    key = (record.seen, seen, fresh)
    move = common.moves.get(key)
    if move is None:
        if len(common.moves) >= MOVES_KEPT:
            common.moves.clear()
        move = common.moves[key] = _move(common, record.seen, seen, fresh)
    record.seen = move.seen
    episode = record.episode
    if episode is not None and (assumed or episode.assumed):
        for variable, _ in seen:
            episode.assumed.pop(variable, None)
            if assumed:
                episode.assumed[variable] = assumed
    if not move.changes:
        return
    record.state = move.state
    if record.spans:
        count(common, record)
    for name, was, is_now in move.words:
        common.note(record, "observed", name, was, is_now, by)
    real = fresh and not assumed
    counts = real and common.now >= record.configured_at + common.settings.grace_s
    if episode is not None:
        if not fresh:
            _supersede(common, record, episode, move.changes)
        _judge(common, record, episode, before, move.changes, real=real, counts=counts)
    elif record.phase == "converged" and counts:
        lost = [v for v, g in record.goals if record.state[v] != g and v in move.changes]
        if lost:
            record.pardoned = False  # that was for what a person had done before
            _count(common, record, lost, before)
    common.wake(record.name)


def assume_failed(common: Common, record: Record, running: Running, reason: str) -> None:
    """A step is over without its effect: what its mutation declares to be true then is taken to be."""
    mutation = running.action.mutation
    assumed = common.compiled.assignment(mutation.on_timeout) if mutation is not None else ()
    if mutation is not None and assumed:
        learn(common, record, assumed, f"{mutation.name}: {reason}", assumed=reason)


def _move(common: Common, before: State, seen: Seen, fresh: bool) -> Move:
    """What an observation makes of what was seen before; the same for all nodes."""
    compiled = common.compiled
    after = _seen(common, before, seen, fresh)
    old, state = compiled.doubt(before), compiled.doubt(after)
    changes = tuple(v for v in range(len(state)) if state[v] != old[v])
    words = tuple(
        (compiled.name(v), compiled.symbol(v, old[v]), compiled.symbol(v, state[v]))
        for v in changes
    )
    return Move(common.shared(after), common.shared(tuple(state)), changes, words)


def _seen(common: Common, before: State, seen: Seen, fresh: bool) -> State:
    compiled = common.compiled
    state = list(before)
    together = {v for v, _ in seen}
    for variable, value in seen:
        if fresh or not compiled.broken(variable, before):
            state[variable] = value

    def believe(child: int) -> None:
        for parent, allowed in compiled.guards[child]:
            if parent not in together:
                if state[parent] not in allowed and state[parent] != UNKNOWN_VALUE:
                    state[parent] = UNKNOWN_VALUE
                    believe(parent)
                elif state[parent] == UNKNOWN_VALUE:
                    believe(parent)

    if fresh:
        for variable, value in seen:
            if value not in (UNKNOWN_VALUE, compiled.initial[variable]):
                believe(variable)
    return tuple(compiled.normalise(state))


def _judge(
    common: Common,
    record: Record,
    episode: Episode,
    before: State,
    changes: Sequence[int],
    *,
    real: bool,
    counts: bool,
) -> None:
    state = record.state
    hoped = _hoped(episode, before, state)
    unfit: list[int] = []
    failed: dict[int, int] = {}
    for variable in changes:
        written = False
        for running in episode.running:
            fits = _fits(running, variable, state[variable])
            written = written or fits is not None
            if fits is False or (fits is None and not _allows(running, variable, state[variable])):
                failed.setdefault(running.serial, variable)
        if not written and (variable, state[variable]) not in hoped:
            unfit.append(variable)
    idle, plan = not episode.running, episode.plan
    for running in list(episode.running):
        if running.serial in failed:
            _contradict(common, record, running, failed[running.serial])
        elif all(state[v] == value for v, value in running.action.own):
            if real:
                duration_s = common.now - running.since
                common.measured(record.hardware_class, running.action.number, (duration_s,))
            _done(common, record, episode, running)
    if plan is None or (episode.plan is None and not failed):
        return
    relevant = [v for v in unfit if v in plan.relevant or plan.given_up]
    if relevant or failed:
        spoiling = dict.fromkeys((*relevant, *failed.values()))
        episode.spoiled = (plan, episode.done, tuple(spoiling))
        episode.plan = None
    if relevant and idle and counts:
        _count(common, record, relevant, before)


def _supersede(common: Common, record: Record, episode: Episode, changes: Sequence[int]) -> None:
    """Other values are configured than those that steps in flight were begun for: end these steps, as
    what they bring about is not what is wanted any more."""
    for running in list(episode.running):
        if any(variable in changes for variable, _ in running.action.own):
            end_step(common, record, running, "dropped", "other values were configured")
            episode.plan = None


def _done(common: Common, record: Record, episode: Episode, running: Running) -> None:
    """All declared effects were seen. A step that the plan did not know of may have changed it."""
    if running.place >= 0:
        episode.done |= 1 << running.place
    elif episode.plan and any(v in episode.plan.relevant for v, _ in running.action.writes):
        episode.plan = None
    end_step(common, record, running, "done")


def _count(common: Common, record: Record, variables: Sequence[int], before: State) -> None:
    """Count a surprise: a known value that became another one, at once or by way of unknown.

    Becoming unknown is not yet one (a silent agent may speak again), but the breaker counts it.
    """
    state = record.state
    if record.lost is None:
        record.lost = {}
    for variable in variables:
        if state[variable] == UNKNOWN_VALUE:
            record.lost[variable] = before[variable]
            common.breaker.failed(record.group, record.name, common.now)
    for variable in variables:
        was = before[variable] or record.lost.pop(variable, UNKNOWN_VALUE)
        if state[variable] != UNKNOWN_VALUE and was not in (UNKNOWN_VALUE, state[variable]):
            surprised(common, record, variable, was)
            return


def _hoped(episode: Episode, before: State, state: State) -> set[tuple[int, int]]:
    """Tick the discoveries of the plan whose hoped-for outcome came; what they foresaw."""
    hoped: set[tuple[int, int]] = set()
    if episode.plan is not None:
        for place, step in episode.plan.hopes:
            variable, value = step.own[0]
            if (
                not episode.done >> place & 1
                and before[variable] == UNKNOWN_VALUE
                and state[variable] == value
            ):
                episode.done |= 1 << place
                hoped.update(step.writes)
    return hoped


def _fits(running: Running, variable: int, value: int) -> bool | None:
    """Whether a variable that the step writes may show ``value`` now; None where it writes it not."""
    effect = running.action.writes_of.get(variable)
    if effect is None:
        return None
    return value in (
        effect,
        running.start[variable],
        UNKNOWN_VALUE,
    ) or value in running.action.via.get(variable, ())


def _allows(running: Running, variable: int, value: int) -> bool:
    """Whether a variable that the step only reads may hold ``value`` now."""
    allowed = running.action.reads_of.get(variable)
    return allowed is None or value in allowed or value == UNKNOWN_VALUE


def _contradict(common: Common, record: Record, running: Running, variable: int) -> None:
    compiled, episode = common.compiled, record.episode
    reason = f"{compiled.name(variable)} became {compiled.symbol(variable, record.state[variable])}"
    assumed = episode.assumed.get(variable) if episode is not None else None
    reason = f"{reason} ({assumed})" if assumed else reason
    fail_step(common, record, running, "failed", reason)
