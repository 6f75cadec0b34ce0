"""Taking an event to many nodes: cell by cell, by the transition that the first node showed.

This is the only place where nodes are not handled one by one. It must do exactly what the long way does
for each, and a property test holds both against each other.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from kedge.core.engine.columns import Rows, Serials
from kedge.core.engine.common import Common
from kedge.core.engine.deciding import look_again
from kedge.core.engine.transition import Slot, Transition
from kedge.core.engine.watching import Act, watch
from kedge.core.events import Effect, EndStep, Many, Noted, StartDiscovery, StartStep

TRANSITIONS_KEPT = 100_000

CONFIGURED = "configured"

Kind = tuple[Hashable, ...]
"""Names an act; the first word of the one that configures nodes is `CONFIGURED`."""

_NONE = np.zeros(0, np.int64)


def take(common: Common, rows: Rows, kind: Kind, act: Act) -> None:
    """Carry ``act`` out for each of ``rows`` (no row twice). ``kind`` names the act: for one cell, the
    same kind must always do the same."""
    columns = common.nodes.columns
    settled = columns.configured_at[rows] + common.settings.grace_s <= common.now
    situations = columns.cell[rows] * 2 + settled
    if len(rows) == 1:
        _take_cell(common, rows, int(situations[0]), kind, act)
        return
    found, first = np.unique(situations, return_index=True)
    for place in np.argsort(
        first
    ):  # in the order of their first rows, so whatever the cells' numbers
        situation = int(found[place])
        _take_cell(common, rows[situations == situation], situation, kind, act)


def alone(common: Common, row: int, act: Act) -> None:
    """The long way, for one node."""
    act(common.nodes.open(row, common.now))
    look_again(common)
    if common.nodes.is_apart(row):
        common.nodes.fold_row(row, common.now)


def _take_cell(common: Common, rows: Rows, situation: int, kind: Kind, act: Act) -> None:
    if situation < 0 or not common.settings.together:
        for row in rows.tolist():
            alone(common, row, act)
        return
    number = situation >> 1
    key = (number, situation & 1, common.costs.version, kind)
    known = common.transitions.get(key)
    if known is None:
        if len(common.transitions) >= TRANSITIONS_KEPT:
            common.transitions.clear()
        known = watch(common, int(rows[0]), act, configures=kind[0] == CONFIGURED)
        if known is not None:
            common.transitions[key] = known
        rows = rows[1:]
    elif known.breaker and common.breaker.failing(common.nodes.cells[number].group):
        known = None
    if known is None:
        for row in rows.tolist():
            alone(common, row, act)
    elif len(rows) and not (known.idle and known.cell == number):
        _follow(common, rows, known)


def _follow(common: Common, rows: Rows, transition: Transition) -> None:
    """Have ``rows`` take the transition."""
    columns, now, count = common.nodes.columns, common.now, len(rows)
    stamps, serials = columns.stamps[rows], columns.serials[rows]
    first = common.serial + 1 + np.arange(count, dtype=np.int64) * transition.begun
    common.serial += count * transition.begun
    common.followed += count
    _tell(common, rows, transition, serials, first)
    for ended, action, hardware_class in transition.ended:
        common.measured(hardware_class, action, (now - stamps[:, ended]).tolist())
    for place, slot in enumerate(transition.slots):
        if slot.source == "kept":
            if slot.number != place:
                columns.stamps[rows, place] = stamps[:, slot.number]
                columns.serials[rows, place] = serials[:, slot.number]
        else:
            columns.stamps[rows, place] = now + slot.delay_s
            columns.serials[rows, place] = _numbers(slot, serials, first)
    columns.serials[rows, len(transition.slots) :] = 0
    columns.cell[rows] = transition.cell
    columns.differs[rows] = common.nodes.cells[transition.cell].differs
    if transition.new_phase:
        columns.since[rows] = now
    if transition.new_episode:
        columns.episode_since[rows] = now
    if transition.configured:
        columns.configured_at[rows] = now
    for later in transition.timers:
        steps = _NONE if later.slot is None else _numbers(later.slot, serials, first)
        common.timers.set(now, later.delay_s, later.timer.again(rows, steps))


def _numbers(slot: Slot, serials: Serials, first: Serials) -> Serials:
    """The numbers of the steps that a slot stands for, one for each row."""
    if slot.source == "begun":
        return first + slot.number
    return serials[:, slot.number] if slot.source == "kept" else np.zeros_like(first)


def _tell(
    common: Common, rows: Rows, transition: Transition, serials: Serials, first: Serials
) -> None:
    if not transition.effects:
        return
    names, prefix = common.nodes.names, common.nodes.prefix
    steps = [_numbers(slot, serials, first).tolist() for slot in transition.steps]
    numbers = iter(steps)
    effects: list[Effect] = []
    node = names[int(rows[0])]
    for effect, timeout_s in zip(transition.effects, transition.timeouts_s, strict=True):
        if isinstance(effect, StartStep):
            step_id = f"{prefix}{next(numbers)[0]}"
            effects.append(StartStep(node, effect.mutation, step_id, common.now + timeout_s))
        elif isinstance(effect, EndStep):
            step_id = f"{prefix}{next(numbers)[0]}"
            ended = EndStep(node, effect.mutation, step_id, effect.outcome, effect.reason)
            effects.append(ended)
        elif isinstance(effect, StartDiscovery):
            effects.append(StartDiscovery(node, effect.discovery, common.now + timeout_s))
        elif isinstance(effect, Noted):
            effects.append(effect.on(node))
    if len(rows) == 1:
        common.effects += effects
    else:
        places: list[int] = rows.tolist()
        nodes = [names[row] for row in places]
        common.effects.append(Many(nodes, tuple(effects), prefix, tuple(steps)))
