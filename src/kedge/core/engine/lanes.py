"""From plans to what is laid out in time: moves with the pools that they take, begun ones among them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kedge.core.action import Action, State
from kedge.core.condition import PlannedStep
from kedge.core.engine.budgets import Pool, Pools
from kedge.core.engine.common import Common
from kedge.core.engine.record import Record, Running
from kedge.core.engine.restraints import draws
from kedge.core.engine.service import ground_of
from kedge.core.foresight.classes import Move, NodeClass
from kedge.core.paths import planned_steps
from kedge.core.planner.task import Goals


def serves(common: Common, goals: Goals, state: State) -> bool | None:
    """Whether a node with these goals is in service; None for one that should not be."""
    ground = common.grounds.get(goals)
    if ground is None:
        ground = ground_of(common.compiled, goals)
    return all(state[v] in allowed for v, allowed in ground) if ground else None


def moves(
    common: Common,
    steps: Sequence[PlannedStep],
    actions: Sequence[Action],
    limits: Pools,
    running: Iterable[Running],
) -> tuple[Move, ...]:
    """The steps of a plan as moves; those of them that are ``running`` have begun."""
    found = [
        Move(
            step.mutation,
            max(1, step.cost_s),
            sum(1 << place for place in step.after),
            draws(common, action, limits) if action.mutation is not None else (),
            step.breaking,
        )
        for step, action in zip(steps, actions, strict=True)
    ]
    for each in running:
        for place, move in enumerate(found):
            if move.name == each.action.name and not move.before and not move.begun:
                left = math.ceil(move.duration_s - (common.now - each.since))
                found[place] = replace(move, duration_s=max(1, left), begun=True)
                break
    return tuple(found)


def under_way(common: Common, asked: set[str]) -> list[NodeClass]:
    """The classes of nodes that are not ``asked`` about and have steps left, the oldest first."""
    names = dict.fromkeys(common.nodes.differing())
    names.update((record.name, None) for record in common.nodes.apart() if record.episode)
    known: dict[object, tuple[PlannedStep, ...]] = {}
    alike: dict[object, tuple[Record, list[str]]] = {}
    for name in names:
        record = common.look(name)
        if name in asked or record is None or record.hold or record.elsewhere or record.quarantine:
            continue
        episode = record.episode
        if episode is None or episode.plan is None or episode.done == episode.plan.all_done:
            continue
        flying = tuple((r.action.number, math.ceil(common.now - r.since)) for r in record.running)
        down = serves(common, record.goals, record.state) is False
        key = (id(episode.plan), episode.done, flying, record.limits, record.spans, down)
        alike.setdefault(key, (record, []))[1].append(name)
    found: list[NodeClass] = []
    for record, nodes in sorted(alike.values(), key=lambda pair: _since(pair[0])):
        episode = record.episode
        assert episode is not None and episode.plan is not None
        plan, done = episode.plan, episode.done
        key = (id(plan), done, id(episode.costs))
        steps = known.get(key)
        if steps is None:
            steps = known[key] = planned_steps(common.compiled, plan, done, episode.costs)
        left = [step for place, step in enumerate(plan.steps) if not done >> place & 1]
        down = serves(common, record.goals, record.state) is False
        found.append(
            NodeClass(
                tuple(nodes),
                moves(common, steps, left, record.limits, record.running),
                record.spans if serves(common, record.goals, record.state) is not None else (),
                down or record.span is not None,
            )
        )
    return found


def _since(record: Record) -> float:
    return record.episode.since if record.episode is not None else math.inf


def spent(common: Common, flying: set[str]) -> Mapping[Pool, int]:
    """The units of spans that are used by nodes other than those ``flying``."""
    found: dict[Pool, int] = {}
    for usage in common.spans.usage():
        users = {*usage.holders, *usage.counted}
        found[usage.pool] = len(users - flying)
    return found
