"""What comes due: polls, answers that did not come, looks at steps in flight, deadlines, back-offs."""

from __future__ import annotations

from functools import partial

import numpy as np

from kedge.core.engine.asking import deafen, heard, look, poll, poll_again, unseen
from kedge.core.engine.columns import APART, Rows
from kedge.core.engine.common import Common
from kedge.core.engine.failing import fail_step, put_off
from kedge.core.engine.knowing import assume_failed, learn
from kedge.core.engine.record import Record, Running
from kedge.core.engine.timers import Timer
from kedge.core.engine.together import take


def due(common: Common, when: float, timer: Timer) -> None:
    """A timer that was set for ``when`` came due."""
    if timer.sort == "group":
        for node in sorted(common.stalled.pop(timer.group, ())):
            common.wake(node)
    elif timer.sort == "poll":
        rows = common.nodes.in_bucket(timer.level)
        if len(rows):
            act = partial(poll, common, number=timer.about)
            take(common, rows, ("poll", timer.about), act)
        else:
            common.polled.discard(timer.level)
        poll_again(common, timer.about, timer.level)
    elif timer.sort == "wake":
        assert isinstance(timer.rows, int)
        if common.nodes.columns.alive[timer.rows]:
            common.wake(common.nodes.names[timer.rows])
    elif timer.sort == "asked":
        rows = _waiting(common, _rows(timer), timer.about, when)
        if len(rows):
            take(common, rows, ("silent", timer.about), partial(_silent, common, timer.about))
    else:
        rows = _running(common, _rows(timer), timer)
        act = partial(_step_due, common, timer)
        if len(rows):
            take(common, rows, (timer.sort, timer.about, timer.level), act)


def _rows(timer: Timer) -> Rows:
    return np.array([timer.rows], np.int32) if isinstance(timer.rows, int) else timer.rows


def _running(common: Common, rows: Rows, timer: Timer) -> Rows:
    """Those of ``rows`` whose step still runs."""
    nodes, columns = common.nodes, common.nodes.columns
    serials = np.broadcast_to(np.asarray(timer.serials, np.int64), rows.shape)
    still = (columns.serials[rows] == serials[:, None]).any(axis=1)
    apart = columns.cell[rows] == APART
    for place in np.flatnonzero(apart).tolist():
        row, serial = int(rows[place]), int(serials[place])
        still[place] = bool(columns.alive[row]) and any(
            running.serial == serial for running in nodes.look(row, common.now).running
        )
    return rows[still]


def _waiting(common: Common, rows: Rows, number: int, when: float) -> Rows:
    """Those of ``rows`` that still wait for an answer that was due by ``when``."""
    nodes, columns = common.nodes, common.nodes.columns
    cells = columns.cell[rows]
    still = np.zeros(len(rows), np.bool_)
    for cell in map(int, np.unique(cells)):
        here = cells == cell
        if cell == APART:
            for place in np.flatnonzero(here).tolist():
                row = int(rows[place])
                asking = nodes.look(row, common.now).asking if columns.alive[row] else None
                still[place] = bool(asking) and asking.get(number, when + 1) <= when
        elif number in nodes.cells[cell].asking:
            found = nodes.cells[cell]
            slot = len(found.running) + found.asking.index(number)
            still[here] = columns.stamps[rows[here], slot] <= when
    return rows[still]


def _step_due(common: Common, timer: Timer, record: Record) -> None:
    running = next(r for r in record.running if r.action.number == timer.about)
    if timer.sort == "look":
        look(common, record, running, timer.level + 1)
    else:
        _timed_out(common, record, running)


def _silent(common: Common, number: int, record: Record) -> None:
    """Nobody answered, or nobody was heard, until the deadline."""
    asked = common.compiled.asks[number]
    name, timeout_s = asked.discovery.name, asked.discovery.timeout_s
    silent = tuple((v, x) for v, x in asked.on_timeout if record.seen[v] == 0)
    reason = f"nothing was heard for {timeout_s:g} s"
    if asked.discovery.handler is not None or not silent:
        no_answer = f"no answer within {timeout_s:g} s"
        deafen(common, record, number, no_answer if asked.discovery.handler else reason, "")
        return
    learn(common, record, silent, f"{name}: {reason}", assumed=reason)
    heard(common, record, [v for v, _ in silent])


def _still(common: Common, record: Record, running: Running) -> str:
    """What the step's first variable shows still: `` (boot.stage is loader)``."""
    variable = running.action.own[0][0]
    value = record.state[variable]
    return f" ({common.compiled.name(variable)} is {common.compiled.symbol(variable, value)})"


def _timed_out(common: Common, record: Record, running: Running) -> None:
    mutation = running.action.mutation
    assert mutation is not None
    reason = f"no effect within {mutation.timeout_s:g} s{_still(common, record, running)}"
    blind = unseen(common, record, running)
    if blind is not None and not mutation.on_timeout:
        reason = f"its effect cannot be seen: {blind.reason}"
        put_off(common, record, running, reason, blind.next_step)
        return
    fail_step(common, record, running, "timeout", reason)
    assume_failed(common, record, running, reason)
