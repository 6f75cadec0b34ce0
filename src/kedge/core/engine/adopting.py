"""Going over to another graph while nodes move: modules came, changed or went.

Nothing is discovered anew and no step is begun again. What was seen, failures, quarantines, requests and
places in queues go over by name; plans do not, as another graph may know a better one, so every node is
looked at again from where it is. A step in flight goes on under its number if its mutation still brings
about the same, and is dropped if not.

Nodes go over cell by cell, so that this takes as long as there are situations, not nodes. Only where a
step or a question vanishes the nodes are taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np

from kedge.core.engine.asking import begin_polls, looked_at
from kedge.core.engine.cell import Cell, Errand
from kedge.core.engine.common import Common
from kedge.core.engine.costs import Costs
from kedge.core.engine.deciding import look_again
from kedge.core.engine.record import Episode, Record
from kedge.core.engine.restraints import draws
from kedge.core.engine.service import reconfigured
from kedge.core.engine.steps import end_step, node_of
from kedge.core.engine.telling import note_goals
from kedge.core.engine.timers import Timer
from kedge.core.engine.together import take
from kedge.core.engine.translation import Translation, equivalent
from kedge.core.events import ConfiguredMany, RequestDone
from kedge.core.explain import Explainer
from kedge.core.graph import Graph
from kedge.core.planner.cache import Planner
from kedge.core.planner.task import Goals

VANISHED = "its module no longer has it"


def adopt(common: Common, graph: Graph, told: Iterable[ConfiguredMany]) -> None:
    """Go over to ``graph``. ``told`` are the goals and fingerprints that follow for the nodes from it;
    it is nobody's word, so it forgives nothing."""
    changed = not equivalent(common.compiled, graph.compiled)
    common.graph = graph
    if changed:
        _go_over(common, graph)
    rest = set(common.nodes.rows.values()) if changed else set[int]()
    for event in told:
        goals = common.compiled.assignment(graph.meaningful(event.goals))
        rows: list[int] = []
        for node, fingerprint in zip(event.nodes, event.fingerprints, strict=True):
            row = common.nodes.rows.get(node)
            if row is not None:
                common.nodes.fingerprints[row] = fingerprint
                if changed or common.nodes.look(row, common.now).goals != goals:
                    rows.append(row)
        rest.difference_update(rows)
        _look_again(common, rows, goals)
    _look_again(common, sorted(rest), None)


def _look_again(common: Common, rows: list[int], goals: Goals | None) -> None:
    def act(record: Record) -> None:
        if goals is not None and goals != record.goals:
            note_goals(common, record, goals)
            record.goals = goals
            if record.episode is not None:
                record.episode.plan, record.episode.new_goals = None, True
        reconfigured(common, record)
        common.wake(record.name)

    if rows:
        take(common, np.array(rows, np.int32), ("adopted", goals), act)


def _go_over(common: Common, graph: Graph) -> None:
    over = Translation(common.compiled, graph.compiled)
    nodes = common.nodes
    nodes.take_apart(common.now, lambda cell: not _goes_over(over, cell))
    _swap(common, graph)
    nodes.translate(partial(_cell, common, over))
    common.timers.translate(partial(_timer, over))
    for record in list(nodes.apart()):
        _record(common, over, record)
    common.polled.clear()
    columns = nodes.columns
    for bucket in np.unique(columns.bucket[columns.alive]).tolist():
        begin_polls(common, bucket)
    look_again(common)  # at those that lost something, before others are looked at together


def _swap(common: Common, graph: Graph) -> None:
    """Have everything that was compiled or remembered of the old graph made anew."""
    compiled = graph.compiled
    measured = common.costs.export()
    common.compiled, common.planner = compiled, Planner(compiled)
    common.explainer, common.costs = Explainer(compiled), Costs(compiled)
    common.costs.restore(measured)
    common.looked_at = looked_at(compiled)
    common.forget()


def _goes_over(over: Translation, cell: Cell) -> bool:
    """Whether nothing with a time of its own vanishes."""
    return all(action.number in over.lasting for action, _, _ in cell.running) and all(
        number in over.asks for number in cell.asking
    )


def _cell(common: Common, over: Translation, cell: Cell) -> Cell:
    seen = common.shared(over.state(cell.seen))
    state = common.shared(tuple(common.compiled.doubt(seen)))
    errand = cell.errand
    if errand is not None:
        errand = Errand(
            common.costs.table(cell.hardware_class), None, 0,
            tuple(
                (over.actions[action.number], -1, over.state(start))
                for action, _, start in errand.running
            ),
            errand.shown_plan, ((), ()), tuple(sorted(over.by_action(dict(errand.starts)).items())),
            errand.waits, errand.waits_next, errand.new_goals,
        )  # fmt: skip
    return replace(
        cell,
        seen=seen,
        state=state,
        goals=over.assignment(cell.goals),
        asking=tuple(over.asks[number] for number in cell.asking),
        errand=errand,
    )


def _record(common: Common, over: Translation, record: Record) -> None:
    """Take a record over, in place; what is no more ends."""
    record.seen = common.shared(over.state(record.seen))
    record.state = common.shared(tuple(common.compiled.doubt(record.seen)))
    record.goals = over.assignment(record.goals)
    record.asking = over.by_ask(record.asking or {}) or None
    record.deaf = over.by_ask(record.deaf or {}) or None
    record.lost = dict(over.assignment((record.lost or {}).items())) or None
    if record.episode is not None:
        _episode(common, over, record, record.episode)
    for request in list(record.requests or ()):
        if len(common.compiled.assignment(request.goals)) != len(request.goals):
            _end_request(common, record, request.request_id)
    reconfigured(common, record)


def _episode(common: Common, over: Translation, record: Record, episode: Episode) -> None:
    for running in list(episode.running):
        if running.action.number in over.lasting:
            running.action = over.actions[running.action.number]
            running.start = over.state(running.start)
            running.place = -1
        else:
            end_step(common, record, running, "dropped", VANISHED)
    episode.costs = common.costs.table(record.hardware_class)
    episode.plan, episode.done, episode.spoiled = None, 0, None
    episode.planned_for = ((), ())
    episode.failures = over.by_action(episode.failures)
    episode.starts = over.by_action(episode.starts)
    episode.assumed = over.by_variable(episode.assumed)
    for name in sorted(episode.queued):
        if "/" in name and not _still_wants(common, record, name):
            episode.queued.discard(name)
            for waiter in common.budgets.withdraw(name):
                common.wake(node_of(waiter))


def _still_wants(common: Common, record: Record, name: str) -> bool:
    action = common.compiled.mutation_actions.get(name.partition("/")[2])
    wants = common.budgets.wanted(name)
    return action is not None and draws(common, action, record.limits) == wants


def _end_request(common: Common, record: Record, identity: str) -> None:
    kept = [request for request in record.requests or () if request.request_id != identity]
    record.requests = kept or None
    reason = "a variable that it names is no more"
    common.effects.append(RequestDone(record.name, identity, reason))
    common.note(record, "request", identity, after=reason)


def _timer(over: Translation, timer: Timer) -> Timer | None:
    """A timer in the new numbers; None for one that means nothing any more. Polls begin anew."""
    if timer.sort in ("step", "look"):
        action = over.actions.get(timer.about)
        return replace(timer, about=action.number) if action is not None else None
    if timer.sort == "asked":
        number = over.asks.get(timer.about)
        return replace(timer, about=number) if number is not None else None
    return timer if timer.sort in ("wake", "group") else None
