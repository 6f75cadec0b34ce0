"""Learning a transition by watching the first node of a cell.

It goes the long way, on its record. Where nothing it did was particular to it, the result is remembered in
terms of the node's own slots and times, so that the others need only take it over.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from kedge.core.engine.cell import Cell
from kedge.core.engine.columns import APART
from kedge.core.engine.common import Common
from kedge.core.engine.deciding import look_again
from kedge.core.engine.record import Record
from kedge.core.engine.timers import Timer
from kedge.core.engine.transition import Later, Slot, Transition
from kedge.core.events import Effect, EndStep, Many, Noted, StartDiscovery, StartStep

Act = Callable[[Record], None]
"""What an event does to one node's record."""


def watch(common: Common, row: int, act: Act, *, configures: bool) -> Transition | None:
    """Carry ``act`` out for one plain node, and say what the others of its cell may take over.

    None where it was particular: something that nodes share was touched, or it does not fold, or
    it ``configures`` the node for the second time in one moment, which leaves no trace.
    """
    cell = common.nodes.cells[int(common.nodes.columns.cell[row])]
    record = common.nodes.open(row, common.now)
    before = list(record.running)
    old = {running.serial: place for place, running in enumerate(before)}
    episode, configured_at, first = record.episode, record.configured_at, common.serial + 1
    effects_from, shared, asked = len(common.effects), common.touched(), common.breaker.asked
    measured = {key: len(durations) for key, durations in common.durations_s.items()}
    timers: list[tuple[float, Timer]] = []
    common.timers.watched = timers
    act(record)
    look_again(common)
    common.timers.watched = None
    if not common.nodes.is_apart(row):
        return None  # it was removed
    number = common.nodes.fold_row(row, common.now)
    again = configures and configured_at == common.now
    if number == APART or shared != common.touched() or again:
        return None
    effects = tuple(e for e in common.effects[effects_from:] if not isinstance(e, Many))
    of = _Serials(old, first)
    steps = [_serial(e) for e in effects if isinstance(e, StartStep | EndStep)]
    return Transition(
        number,
        effects,
        tuple(of.slot(serial) for serial in steps),
        tuple(_timeout_s(common, e) for e in effects),
        common.serial + 1 - first,
        _slots(common, cell, record, of, [t for _, t in timers if t.sort == "asked"]),
        tuple(Later(delay_s, t, of.of_timer(t)) for delay_s, t in timers),
        tuple(
            (old[running.serial], running.action.number, record.hardware_class)
            for running in before
            if len(common.durations_s.get((record.hardware_class, running.action.number), ()))
            > measured.get((record.hardware_class, running.action.number), 0)
        ),
        any(isinstance(e, Noted) and e.what == "phase" for e in effects),
        record.episode is not episode,
        record.configured_at != configured_at,
        asked != common.breaker.asked,
    )


class _Serials:
    """Where the numbers of steps come from."""

    def __init__(self, old: dict[int, int], first: int) -> None:
        self._old = old
        self._first = first

    def slot(self, serial: int) -> Slot:
        if serial in self._old:
            return Slot("kept", self._old[serial])
        return Slot("begun", serial - self._first)

    def of_timer(self, timer: Timer) -> Slot | None:
        if timer.sort not in ("step", "look"):
            return None
        assert isinstance(timer.serials, int)
        return self.slot(timer.serials)


def _slots(
    common: Common, before: Cell, record: Record, of: _Serials, asked: list[Timer]
) -> tuple[Slot, ...]:
    slots = [of.slot(running.serial) for running in record.running]
    anew = {timer.about for timer in asked}
    for number in record.asking or ():
        if number in anew:
            slots.append(Slot("asked", number, common.compiled.asks[number].discovery.timeout_s))
        else:
            slots.append(Slot("kept", len(before.running) + before.asking.index(number)))
    return tuple(slots)


def _serial(effect: StartStep | EndStep) -> int:
    return int(effect.step_id.rpartition("-")[2])


def _timeout_s(common: Common, effect: Effect) -> float:
    """How far its deadline lies ahead, as declared."""
    if isinstance(effect, StartStep):
        mutation = common.compiled.mutation_actions[effect.mutation].mutation
        return mutation.timeout_s if mutation is not None and mutation.timeout_s > 0 else math.inf
    if isinstance(effect, StartDiscovery):
        return common.compiled.ask_named[effect.discovery].discovery.timeout_s
    return 0.0
