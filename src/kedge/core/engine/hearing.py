"""Taking events in: those about many nodes together, all others one by one.

Observations that come one after another are put together by what was seen, each node's in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kedge.core.engine import keeping
from kedge.core.engine.asking import deafen, heard
from kedge.core.engine.columns import Rows
from kedge.core.engine.common import Common
from kedge.core.engine.deciding import look_again
from kedge.core.engine.failing import fail_step, put_off, reached
from kedge.core.engine.knowing import assume_failed, learn
from kedge.core.engine.record import Record
from kedge.core.engine.steps import node_of
from kedge.core.engine.telling import configure, forgive, leased, remove, request
from kedge.core.engine.together import take
from kedge.core.events import (
    BudgetSet,
    ConfiguredMany,
    DiscoveryFailed,
    Event,
    GroupLeased,
    NodeConfigured,
    NodeRemoved,
    Observed,
    ObservedMany,
    Requested,
    Retried,
    StepFailed,
)

Alike = tuple[tuple[tuple[str, str], ...], str, bool]
"""What was seen, by whom, whether anew."""


def take_in(common: Common, events: Iterable[Event], kept: dict[str, keeping.Saved]) -> None:
    """Change what is known by ``events``, and look at the nodes that they concern."""
    seen = _Seen(common)
    for event in events:
        if isinstance(event, Observed):
            seen.add((event.node,), event.values, event.by, event.fresh)
        elif isinstance(event, ObservedMany):
            seen.add(event.nodes, event.values, event.by, event.fresh)
        else:
            seen.flush()
            _told(common, event, kept)
            look_again(common)  # what is taken by many later must find nobody else awake
    seen.flush()


class _Seen:
    """Observations put together. What was seen of one node stays in its order: the first of every node
    are taken in before the second of any."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._rounds: list[dict[Alike, list[int]]] = []
        self._times: dict[int, int] = {}

    def add(self, nodes: Sequence[str], values: Mapping[str, str], by: str, fresh: bool) -> None:
        known, times = self._common.nodes.rows, self._times
        alike = (tuple(values.items()), by, fresh)
        first = self._round(0).setdefault(alike, list[int]())
        for node in nodes:
            row = known.get(node)
            if row is not None:
                time = times.get(row, 0)
                times[row] = time + 1
                if time:
                    self._round(time).setdefault(alike, list[int]()).append(row)
                else:
                    first.append(row)

    def _round(self, time: int) -> dict[Alike, list[int]]:
        if time == len(self._rounds):
            self._rounds.append({})
        return self._rounds[time]

    def flush(self) -> None:
        rounds, self._rounds = self._rounds, []
        self._times.clear()
        for groups in rounds:
            for (values, by, fresh), rows in groups.items():
                _observed(self._common, np.array(rows, np.int32), values, by, fresh)


def _observed(
    common: Common, rows: Rows, values: tuple[tuple[str, str], ...], by: str, fresh: bool
) -> None:
    seen = common.reading(values)
    variables = [variable for variable, _ in seen]

    def act(record: Record) -> None:
        learn(common, record, seen, by, fresh=fresh)
        if fresh and record.episode is not None and record.episode.failures:
            reached(common, record, variables)
        if record.asking or record.deaf:
            heard(common, record, variables, fresh=fresh)

    if seen and len(rows):
        take(common, rows, ("observed", seen, by, fresh), act)


def _told(common: Common, event: Event, kept: dict[str, keeping.Saved]) -> None:
    if isinstance(event, ConfiguredMany):
        configure(common, event, kept)
    elif isinstance(event, NodeConfigured):
        one = ConfiguredMany(
            (event.node,), event.goals, (event.fingerprint,), event.hold, event.group,
            event.hardware_class, event.limits, event.spans, event.elsewhere,
        )  # fmt: skip
        configure(common, one, kept)
    elif isinstance(event, BudgetSet):
        budgets = common.spans if event.span else common.budgets
        pool = event.budget, event.pool
        for waiter in budgets.limit(pool, event.limit, event.share, event.others):
            common.wake(node_of(waiter))
    elif isinstance(event, GroupLeased):
        leased(common, event)
    elif isinstance(event, Requested):
        request(common, event)
    elif isinstance(event, StepFailed | DiscoveryFailed | Retried | NodeRemoved):
        record = common.nodes.get(event.node, common.now)
        if record is not None:
            _told_of(common, record, event)


def _told_of(
    common: Common, record: Record, event: StepFailed | DiscoveryFailed | Retried | NodeRemoved
) -> None:
    if isinstance(event, StepFailed):
        for running in list(record.running):
            if running.step_id == event.step_id:
                if event.put_off:
                    put_off(common, record, running, event.reason, event.next_step)
                    continue
                words = (event.reason, event.next_step, event.permanent)
                fail_step(common, record, running, "failed", *words)
                if event.astray:
                    assume_failed(common, record, running, event.reason)
    elif isinstance(event, DiscoveryFailed):
        asked = common.compiled.ask_named.get(event.discovery)
        if asked is not None:
            deafen(common, record, asked.number, event.reason, event.next_step)
    elif isinstance(event, Retried):
        common.note(record, "request", "retry", cause=event.by)
        forgive(common, record)
        common.wake(record.name)
    else:
        remove(common, record)
