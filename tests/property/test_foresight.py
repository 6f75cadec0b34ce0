"""The schedule of many nodes against a simulation of every single one with the engine's own budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.core.engine.budgets import Budgets, Pool
from kedge.core.foresight.classes import Move, NodeClass, Schedule
from kedge.core.foresight.critical import critical_path
from kedge.core.foresight.schedule import schedule

POOLS: list[Pool] = [("inrush", "rack 1"), ("inrush", "rack 2"), ("servers", "cluster"), ("x", "y")]

Times = dict[tuple[str, int], tuple[int, int]]
"""(node, place) -> beginning and end."""


@st.composite
def node_classes(draw: st.DrawFn) -> tuple[NodeClass, ...]:
    found: list[NodeClass] = []
    for number in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 7))
        nodes = tuple(f"c{number}n{i:02}" for i in range(count))
        moves: list[Move] = []
        for place in range(draw(st.integers(1, 5))):
            direct = draw(st.integers(0, (1 << place) - 1))
            before = direct
            for other in range(place):
                if direct >> other & 1:
                    before |= moves[other].before
            takes = tuple(sorted(draw(st.sets(st.sampled_from(POOLS), max_size=2))))
            begun = before == 0 and draw(st.booleans()) and draw(st.booleans())
            duration = draw(st.integers(1, 6))
            breaking = draw(st.booleans())
            moves.append(Move(f"m{place}", duration, before, takes, breaking, begun))
        found.append(NodeClass(nodes, tuple(moves)))
    return tuple(found)


limits = st.dictionaries(st.sampled_from(POOLS), st.integers(0, 4))


def naive(classes: Sequence[NodeClass], limited: Mapping[Pool, int]) -> Times:
    """Node by node, with the engine's `Budgets`; what began before may exceed a limit."""
    budgets = Budgets()
    over = dict.fromkeys(POOLS, 0)
    for each in classes:
        for move in each.moves:
            if move.begun:
                for pool in move.takes:
                    over[pool] += len(each.nodes)
    for pool in POOLS:
        limit = limited.get(pool, 0)
        budgets.limit(pool, max(limit, over[pool]) if limit else 0)
    times: Times = {}
    waiting: dict[str, tuple[int, int, int]] = {}
    done: dict[tuple[int, int], int] = {}
    asked: set[tuple[int, int, int]] = set()

    def begin(owner: int, place: int, node: int, now: int) -> None:
        each = classes[owner]
        times[each.nodes[node], place] = (now, now + each.moves[place].duration_s)

    for owner, each in enumerate(classes):
        for place, move in enumerate(each.moves):
            for node in range(len(each.nodes)):
                if move.begun:
                    assert not move.takes or budgets.take(f"{owner} {place} {node}", move.takes)
                    begin(owner, place, node, 0)
                    asked.add((owner, place, node))
    now = 0
    while True:
        for owner, each in enumerate(classes):
            for place, move in enumerate(each.moves):
                for node, name in enumerate(each.nodes):
                    span = times.get((name, place))
                    mask = done.get((owner, node), 0)
                    if span is not None and span[1] <= now and not mask >> place & 1:
                        done[owner, node] = mask | 1 << place
                        if move.takes:
                            budgets.release(f"{owner} {place} {node}")
        for pool in POOLS:  # what began before is over: the limit is the real one again
            left = sum(
                len(each.nodes)
                for owner, each in enumerate(classes)
                for place, move in enumerate(each.moves)
                if move.begun and pool in move.takes and not done.get((owner, 0), 0) >> place & 1
            )
            limit = limited.get(pool, 0)
            budgets.limit(pool, max(limit, left) if limit else 0)
        for owner, each in enumerate(classes):
            for place, move in enumerate(each.moves):
                for node in range(len(each.nodes)):
                    key = (owner, place, node)
                    if key in asked or move.before & ~done.get((owner, node), 0):
                        continue
                    asked.add(key)
                    if not move.takes:
                        begin(owner, place, node, now)
                    else:
                        holder = f"{owner} {place} {node}"
                        waiting[holder] = key
        progress = True
        while progress:
            progress = False
            for holder, key in list(waiting.items()):
                if budgets.take(holder, classes[key[0]].moves[key[1]].takes):
                    begin(*key, now)
                    del waiting[holder]
                    progress = True
        coming = [end for _, end in times.values() if end > now]
        if not coming:
            assert not waiting
            return times
        now = min(coming)


def laid_out(found: Schedule) -> Times:
    times: Times = {}
    for stay in found.stays:
        for name in found.classes[stay.owner].nodes[stay.first : stay.first + stay.count]:
            assert (name, stay.place) not in times
            times[name, stay.place] = (stay.start_s, stay.end_s)
    return times


@settings(max_examples=400, deadline=None)
@given(node_classes(), limits)
def test_every_step_begins_when_the_engine_would_begin_it(
    classes: tuple[NodeClass, ...], limited: Mapping[Pool, int]
) -> None:
    found = schedule(classes, limited)
    assert laid_out(found) == naive(classes, limited)


@settings(max_examples=400, deadline=None)
@given(node_classes(), limits)
def test_the_critical_path_leads_without_a_gap_to_the_last_end(
    classes: tuple[NodeClass, ...], limited: Mapping[Pool, int]
) -> None:
    found = schedule(classes, limited)
    owners = range(len(classes))
    legs = critical_path(found, owners)
    assert legs[0].start_s == 0 and legs[-1].end_s == max(p.end_s for p in found.passages)
    for one, other in pairwise(legs):
        assert one.end_s == other.start_s
    for stay in found.stays:
        assert stay.ready_s <= stay.start_s
        assert stay.start_s == (stay.cause.end_s if stay.cause else 0)
        waited = stay.ready_s < stay.start_s
        assert waited == (stay.through is not None)
        if stay.through is not None:
            assert stay.cause is not None
            holder = classes[stay.cause.owner].moves[stay.cause.place]
            assert stay.through in holder.takes and limited[stay.through] > 0


@settings(max_examples=200, deadline=None)
@given(node_classes(), limits)
def test_a_node_is_out_of_service_from_its_first_breaking_step_to_its_end(
    classes: tuple[NodeClass, ...], limited: Mapping[Pool, int]
) -> None:
    found = schedule(classes, limited)
    times = naive(classes, limited)
    told = {
        name: (passage.down_s, passage.end_s)
        for passage in found.passages
        for name in classes[passage.owner].nodes[passage.first : passage.first + passage.count]
    }
    for each in classes:
        for name in each.nodes:
            end = max(times[name, place][1] for place in range(len(each.moves)))
            breaks = [times[name, p][0] for p, move in enumerate(each.moves) if move.breaking]
            assert told[name] == (min(breaks, default=-1), end)
