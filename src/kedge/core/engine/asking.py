"""Discoveries: asking devices, listening to nodes, and what silence means.

A discovery is *polled* when it has a handler, else it *listens*. A poll that gets no answer backs
off, further each time, and its node waits and says why; it is never given up, as asking harms
nobody. For that reason nodes that are held or quarantined are asked as well. Silence where one
listens is an answer: the declared ``on_timeout`` symbols. Whoever begins to listen has every variable
that this depends on asked for at once: a silent node may be one that somebody switched off.
"""

from __future__ import annotations

from kedge.core.action import UNKNOWN_VALUE, Ask
from kedge.core.compiled import Compiled
from kedge.core.engine.common import Common
from kedge.core.engine.failing import backoff
from kedge.core.engine.record import Failures, Record, Running
from kedge.core.events import StartDiscovery


def ask(common: Common, record: Record, number: int) -> str:
    """Start a discovery unless it is under way or backs off; says what one now waits for."""
    asked = common.compiled.asks[number]
    name = asked.discovery.name
    listens = asked.discovery.handler is None
    if record.asking and number in record.asking:
        return f"for {name} to be heard" if listens else f"for {name} to answer"
    deaf = record.deaf.get(number) if record.deaf else None
    if deaf is not None and deaf.until > common.now:
        return f"to ask {name} again: {deaf.reason}"
    deadline = common.now + asked.discovery.timeout_s
    if asked.variables:
        if record.asking is None:
            record.asking = {}
        record.asking[number] = deadline
        common.timers.set(deadline, record.name, "asked", number)
    common.effects.append(StartDiscovery(record.name, name, deadline))
    if listens:
        for parent in asked.parents:
            refresh(common, record, parent)
    return f"for {name} to be heard" if listens else f"for {name} to answer"


def refresh(common: Common, record: Record, variable: int) -> None:
    """Ask for a variable now, where it can be asked for."""
    asked = common.compiled.ask_of.get(variable)
    if asked and asked.discovery.handler is not None and may_ask(record, asked):
        ask(common, record, asked.number)


def ask_unknown(common: Common, record: Record) -> None:
    """Ask for everything that is unknown: of a node that is left alone, people still want to see the
    state. A discovery only looks, so it is no effect."""
    for asked in common.compiled.asks:
        if may_ask(record, asked) and any(
            record.state[v] == UNKNOWN_VALUE and not common.compiled.broken(v, record.state)
            for v in asked.variables
        ):
            ask(common, record, asked.number)


def may_ask(record: Record, asked: Ask) -> bool:
    """Whether the discovery makes sense now."""
    return all(record.state[v] in allowed for v, allowed in asked.reads)


def heard(common: Common, record: Record, variables: list[int], *, fresh: bool = True) -> None:
    """Some variables were seen: end the discoveries that this answers. Call after `learn`.

    One that listens goes on until nothing is unknown (silence is not an answer before its deadline);
    a poll that says *unknown* has failed.
    """
    if not fresh:
        return
    for number in list(record.asking or ()):
        asked = common.compiled.asks[number]
        if not any(v in variables for v in asked.variables):
            continue
        missing = [v for v in asked.variables if record.seen[v] == UNKNOWN_VALUE]
        missing = [v for v in missing if not common.compiled.broken(v, record.seen)]
        if not missing:
            _forget(record, number)
            if record.deaf:
                record.deaf.pop(number, None)
                record.deaf = record.deaf or None
        elif asked.discovery.handler is not None and all(v in variables for v in missing):
            names = ", ".join(common.compiled.name(v) for v in missing)
            deafen(common, record, number, f"it could not tell {names}", "")


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
    backoff(common, known)
    common.timers.set(known.until, record.name, "wake")
    common.wake(record.name)


def look(common: Common, record: Record, running: Running) -> None:
    """Ask for the effects of a step in flight, ever more rarely."""
    for variable, value in running.action.own:
        if record.state[variable] != value:
            refresh(common, record, variable)
    settings = common.settings
    running.look_after = min(settings.look_most_s, running.look_after * 1.5)
    common.timers.set(common.now + running.look_after, record.name, "look", running.serial)


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


def begin_polls(common: Common, record: Record) -> None:
    """Spread the polls of a new node over their whole period."""
    for asked in common.compiled.asks:
        if asked.discovery.every_s > 0 and asked.discovery.handler is not None:
            first = common.now + common.chance.uniform(0, asked.discovery.every_s)
            common.timers.set(first, record.name, "poll", _key(record, asked.number))


def poll(common: Common, record: Record, key: int) -> None:
    """A poll came due: ask, and set the next one. Polls of an earlier node of that name end here."""
    number = key & 0xFFFF
    if key != _key(record, number):
        return
    asked = common.compiled.asks[number]
    if may_ask(record, asked):
        ask(common, record, number)
    period = asked.discovery.every_s * common.chance.uniform(0.9, 1.1)
    common.timers.set(common.now + period, record.name, "poll", key)


def _key(record: Record, number: int) -> int:
    return record.serial << 16 | number


def _forget(record: Record, number: int) -> None:
    if record.asking:
        record.asking.pop(number, None)
        record.asking = record.asking or None
