"""Sending out what the engine wants: to whoever carries it out, to the log, to those who watch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from kedge.core.events import (
    Effect,
    EndStep,
    Many,
    Noted,
    RequestDone,
    StartDiscovery,
    StartStep,
)
from kedge.master.persistence.journal import Journal
from kedge.stores.port import Note


class Carrier(Protocol):
    """Who carries out what the engine asks for."""

    def start_step(self, effect: StartStep) -> None: ...
    def end_step(self, effect: EndStep) -> None: ...
    def start_discovery(self, effect: StartDiscovery) -> None: ...
    def forget(self, node: str) -> None: ...


def send(effects: Iterable[Effect | Many], carrier: Carrier, journal: Journal) -> None:
    """Carry effects out. What is noted of a node in one go becomes one entry of the log."""
    noted: dict[str, list[Note]] = {}
    for effect in effects:
        if isinstance(effect, Noted):
            noted.setdefault(effect.node, []).append(_note_of(effect))
        elif not isinstance(effect, Many):
            _carry_out(effect, carrier, journal)
        else:
            if not noted.keys().isdisjoint(effect.nodes):
                _write(noted, journal)
            _send_many(effect, carrier, journal)
    _write(noted, journal)


def _note_of(effect: Noted) -> Note:
    """What the engine noted, as the log takes it."""
    return Note(effect.what, effect.subject, effect.before, effect.after, effect.cause)


def _write(noted: dict[str, list[Note]], journal: Journal) -> None:
    for node, notes in noted.items():
        journal.add((node,) if node else (), tuple(notes))
    noted.clear()


def _carry_out(
    effect: StartStep | EndStep | StartDiscovery | RequestDone, carrier: Carrier, journal: Journal
) -> None:
    match effect:
        case StartStep():
            carrier.start_step(effect)
        case EndStep():
            carrier.end_step(effect)
        case StartDiscovery():
            carrier.start_discovery(effect)
        case RequestDone():
            journal.publish("request", {"node": effect.node, "id": effect.request_id})


def _send_many(many: Many, carrier: Carrier, journal: Journal) -> None:
    """Effect by effect: each node's stay in order, and nothing is made for each that all share."""
    notes: list[Note] = []
    numbers: Iterator[Sequence[int]] = iter(many.steps)
    nodes, prefix = many.nodes, many.prefix
    for effect in many.effects:
        match effect:
            case Noted():
                notes.append(_note_of(effect))
            case StartStep(mutation=mutation, deadline=deadline):
                for node, number in zip(nodes, next(numbers), strict=True):
                    carrier.start_step(StartStep(node, mutation, f"{prefix}{number}", deadline))
            case EndStep(mutation=mutation, outcome=outcome, reason=reason):
                for node, number in zip(nodes, next(numbers), strict=True):
                    ended = EndStep(node, mutation, f"{prefix}{number}", outcome, reason)
                    carrier.end_step(ended)
            case StartDiscovery(discovery=discovery, deadline=deadline):
                for node in nodes:
                    carrier.start_discovery(StartDiscovery(node, discovery, deadline))
            case RequestDone():
                raise AssertionError("a request is of one node")
    if notes:
        journal.add(tuple(nodes), tuple(notes))
