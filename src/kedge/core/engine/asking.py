"""Discoveries: asking devices, listening to nodes, and what silence means.

A discovery is *polled* when it has a handler, else it *listens*. A poll that gets no answer backs
off, further each time, and its node waits and says why; it is never given up, as asking harms
nobody. For that reason nodes that are held or quarantined are asked as well. Silence where one
listens is an answer: the declared ``on_timeout`` symbols. Whoever begins to listen has every variable
that this depends on asked for at once: a silent node may be one that somebody switched off.
"""

from __future__ import annotations

from kedge.core.action import UNKNOWN_VALUE, Ask, State
from kedge.core.compiled import Compiled
from kedge.core.engine.common import Common
from kedge.core.engine.failing import backoff
from kedge.core.engine.nodes import BUCKETS
from kedge.core.engine.record import Episode, Failures, Record, Running
from kedge.core.engine.timers import Timer
from kedge.core.events import StartDiscovery


def ask(common: Common, record: Record, number: int) -> str:
    """Start a discovery unless it is under way or backs off; says what one now waits for."""
    asked = common.compiled.asks[number]
    name = asked.discovery.name
    listens = asked.discovery.handler is None
    words = _hearing(common, record, asked) if listens else f"for {name} to answer"
    if record.asking and number in record.asking:
        return words
    deaf = record.deaf.get(number) if record.deaf else None
    if deaf is not None and deaf.until > common.now:
        return f"{words}: {deaf.reason}" if listens else f"to ask {name} again: {deaf.reason}"
    deadline = common.now + asked.discovery.timeout_s
    if asked.variables:
        if record.asking is None:
            record.asking = {}
        record.asking[number] = deadline
        common.after(asked.discovery.timeout_s, record, "asked", number)
    common.effects.append(StartDiscovery(record.name, name, deadline))
    if listens:
        for parent in asked.parents:
            refresh(common, record, parent)
    return words


def _hearing(common: Common, record: Record, asked: Ask) -> str:
    """What one waits to hear of, and what silence will mean: ``to hear of boot.stage (boot.listen); if
    nothing is heard for 90 s, it counts as stuck``."""
    compiled, name = common.compiled, asked.discovery.name
    untold = _untold(common, record, asked, record.seen)
    of = " and ".join(compiled.name(v) for v in untold)
    words = f"to hear of {of} ({name})" if of else f"to hear from {name}"
    silent = [compiled.symbol(v, x) for v, x in asked.on_timeout if v in untold]
    if not silent:
        return words
    return f"{words}; if nothing is heard for {asked.discovery.timeout_s:g} s, it counts as {silent[0]}"


def listen_in_flight(common: Common, record: Record, episode: Episode) -> None:
    """Listen for what steps in flight were to bring about, where the node has fallen silent: a machine that
    died in the middle of a step shall not be waited for until the step's own time is over."""
    for running in episode.running:
        for variable, _ in running.action.own:
            asked = common.compiled.ask_of.get(variable)
            if (
                asked is not None
                and record.state[variable] == UNKNOWN_VALUE != running.start[variable]
                and common.compiled.name(variable) in asked.discovery.on_timeout
                and may_ask(record, asked)
            ):
                ask(common, record, asked.number)


def refresh(common: Common, record: Record, variable: int) -> None:
    """Ask for a variable now, where it can be asked for."""
    asked = common.compiled.ask_of.get(variable)
    if asked and asked.discovery.handler is not None and may_ask(record, asked):
        ask(common, record, asked.number)


def ask_unknown(common: Common, record: Record) -> None:
    """Ask for everything that is unknown: of a node that is left alone, people still want to see the
    state. A discovery only looks, so it is no effect."""
    for asked in common.compiled.asks:
        if may_ask(record, asked) and _untold(common, record, asked, record.state):
            ask(common, record, asked.number)


def may_ask(record: Record, asked: Ask) -> bool:
    """Whether the discovery makes sense now, and is for this engine to ask."""
    return not record.elsewhere and all(record.state[v] in allowed for v, allowed in asked.reads)


def heard(common: Common, record: Record, variables: list[int], *, fresh: bool = True) -> None:
    """Some variables were seen: end the discoveries that this answers. Call after `learn`.

    One that listens goes on until nothing is unknown (silence is not an answer before its deadline);
    a poll that says *unknown* has failed.
    """
    if not fresh:
        return
    asking = record.asking or {}
    for number in {**asking, **(record.deaf or {})}:
        asked = common.compiled.asks[number]
        polled = asked.discovery.handler is not None
        if not any(v in variables for v in asked.variables) or (polled and number not in asking):
            continue
        missing = _untold(common, record, asked, record.seen)
        if not missing:
            _forget(record, number)
            if record.deaf:
                record.deaf.pop(number, None)
                record.deaf = record.deaf or None
        elif polled and all(v in variables for v in missing):
            names = ", ".join(common.compiled.name(v) for v in missing)
            deafen(common, record, number, f"it could not tell {names}", "")


def _untold(common: Common, record: Record, asked: Ask, view: State) -> list[int]:
    """What a discovery has still to tell: neither what means nothing now, nor what is held against a value
    that is not configured, as nobody can say how it stands to that."""
    compiled = common.compiled
    goals = {v for v, _ in record.goals}
    return [
        v
        for v in asked.variables
        if view[v] == UNKNOWN_VALUE
        and not compiled.broken(v, view)
        and (compiled.variables[v].relation is None or v in goals)
    ]


def unseen(common: Common, record: Record, running: Running) -> Failures | None:
    """Why nobody can see whether a step had its effect: a device that is to be asked does not answer."""
    for variable, value in running.action.own:
        asked = common.compiled.ask_of.get(variable)
        if asked is not None and record.deaf and record.state[variable] != value:
            failures = record.deaf.get(asked.number)
            if failures is not None and asked.discovery.handler is not None:
                return failures
    return None


def deafen(common: Common, record: Record, number: int, reason: str, next_step: str) -> None:
    """A discovery failed: keep the reason, and try again later."""
    _forget(record, number)
    if record.deaf is None:
        record.deaf = {}
    known = record.deaf.setdefault(number, Failures())
    if known.reason != reason:
        name = common.compiled.asks[number].discovery.name
        common.note(record, "discovery", name, known.reason, reason, next_step)
    known.reason, known.next_step = reason, next_step
    backoff(common, record, known)
    common.after(known.until - common.now, record, "wake")
    common.wake(record.name)


def look(common: Common, record: Record, running: Running, level: int) -> None:
    """Ask for the effects of a step in flight, for the ``level``-th time, ever more rarely."""
    for variable, value in running.action.own:
        if record.state[variable] != value:
            refresh(common, record, variable)
    settings = common.settings
    delay_s = min(settings.look_most_s, settings.look_s * 1.5**level)
    number, most = running.action.number, settings.look_most_s
    level = level if delay_s == most else level + 1  # so that levels stay few
    common.after(delay_s, record, "look", number, level, running.serial)


def looked_at(compiled: Compiled) -> frozenset[int]:
    """The mutations with an effect that can be asked for."""
    return frozenset(
        action.number
        for action in compiled.mutation_actions.values()
        if any(
            v in compiled.ask_of and compiled.ask_of[v].discovery.handler is not None
            for v, _ in action.own
        )
    )


def begin_polls(common: Common, bucket: int) -> None:
    """Have a part of the nodes polled from now on, each discovery in its own place of its period.

    The places follow from the clock alone, so they are spread evenly and survive a restart.
    """
    if bucket in common.polled:
        return
    common.polled.add(bucket)
    for asked in common.compiled.asks:
        period_s = asked.discovery.every_s
        if period_s > 0 and asked.discovery.handler is not None:
            place_s = period_s * (bucket + 0.5) / BUCKETS
            delay_s = (place_s - common.now) % period_s
            _set_poll(common, asked.number, bucket, delay_s)


def _set_poll(common: Common, number: int, bucket: int, delay_s: float) -> None:
    common.timers.set(common.now, delay_s, Timer("poll", about=number, level=bucket))


def poll_again(common: Common, number: int, bucket: int) -> None:
    """Set the next poll of a part of the nodes, if there are any left."""
    if bucket in common.polled:
        _set_poll(common, number, bucket, common.compiled.asks[number].discovery.every_s)


def poll(common: Common, record: Record, number: int) -> None:
    """A poll came due: ask."""
    asked = common.compiled.asks[number]
    if may_ask(record, asked):
        ask(common, record, number)


def _forget(record: Record, number: int) -> None:
    if record.asking:
        record.asking.pop(number, None)
        record.asking = record.asking or None
