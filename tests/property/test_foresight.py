"""The schedule of many nodes against a simulation of every single one with the engine's own budgets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.core.engine.budgets import Budgets, Pool
from kedge.core.foresight.classes import Limits, Move, NodeClass, Schedule
from kedge.core.foresight.critical import critical_path
from kedge.core.foresight.schedule import schedule

POOLS: list[Pool] = [("inrush", "rack 1"), ("inrush", "rack 2"), ("servers", "cluster"), ("x", "y")]
SPANS: list[Pool] = [("service", "rack 1"), ("service", "cluster"), ("x", "y")]

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
            before = draw(st.integers(0, (1 << place) - 1))
            takes = tuple(sorted(draw(st.sets(st.sampled_from(POOLS), max_size=2))))
            begun = before == 0 and draw(st.integers(0, 3)) == 0
            duration = draw(st.integers(1, 6))
            moves.append(Move(f"m{place}", duration, before, takes, draw(st.booleans()), begun))
        spans = tuple(sorted(draw(st.sets(st.sampled_from(SPANS), max_size=2))))
        found.append(NodeClass(nodes, tuple(moves), spans, draw(st.integers(0, 3)) == 0))
    return tuple(found)


def units(pools: list[Pool], most: int) -> st.SearchStrategy[dict[Pool, int]]:
    return st.dictionaries(st.sampled_from(pools), st.integers(0, most))


limits = st.builds(Limits, units(POOLS, 4), units(SPANS, 4), units(SPANS, 2))


class Naive:
    """Every node by itself, with the engine's `Budgets` for steps and for spans."""

    def __init__(self, classes: Sequence[NodeClass], limited: Limits) -> None:
        self.classes = classes
        self.limited = limited
        self.times: Times = {}
        self.done: dict[str, int] = {}
        self.begun: set[tuple[int, int, int]] = set()
        self.spanned: set[str] = set()
        self.now = 0
        self.steps, self.spans = Budgets(), Budgets()
        for pool in SPANS:
            self.spans.limit(pool, limited.spans.get(pool, 0))
            for unit in range(limited.spent.get(pool, 0)):
                self.spans.count(f"spent {pool} {unit}", (pool,))
        for owner, place, node in self.each():
            each, move = classes[owner], classes[owner].moves[place]
            name = each.nodes[node]
            if each.counted:
                self.spans.count(name, each.spans)
                self.spanned.add(name)
            if move.begun:
                if move.breaking and not each.counted:
                    self.spans.hold(name, each.spans)
                    self.spanned.add(name)
                self.steps.hold(f"{place} {name}", move.takes)
                self.begin(owner, place, node)
        for pool in POOLS:
            self.steps.limit(pool, limited.steps.get(pool, 0))

    def each(self) -> list[tuple[int, int, int]]:
        return [
            (owner, place, node)
            for owner, each in enumerate(self.classes)
            for place in range(len(each.moves))
            for node in range(len(each.nodes))
        ]

    def begin(self, owner: int, place: int, node: int) -> None:
        each = self.classes[owner]
        self.begun.add((owner, place, node))
        self.times[each.nodes[node], place] = (self.now, self.now + each.moves[place].duration_s)

    def end_what_ends(self) -> None:
        for owner, place, node in self.each():
            each = self.classes[owner]
            name = each.nodes[node]
            span = self.times.get((name, place))
            if span is not None and span[1] == self.now:
                done = self.done[name] = self.done.get(name, 0) | 1 << place
                self.steps.release(f"{place} {name}")
                if done == (1 << len(each.moves)) - 1:
                    self.spans.release(name)
                    self.spans.count(name, ())

    def ready(self) -> list[tuple[int, int, int]]:
        return [
            key
            for key in self.each()
            if key not in self.begun
            and not self.classes[key[0]].moves[key[1]].before
            & ~self.done.get(self.classes[key[0]].nodes[key[2]], 0)
        ]

    def take_spans(self) -> None:
        asking = dict.fromkeys(
            (owner, node)
            for owner, place, node in self.ready()
            if self.classes[owner].moves[place].breaking and self.classes[owner].spans
        )
        progress = True
        while progress:
            progress = False
            for owner, node in asking:
                each = self.classes[owner]
                name = each.nodes[node]
                if name not in self.spanned and self.spans.take(name, each.spans):
                    self.spanned.add(name)
                    progress = True

    def begin_steps(self) -> None:
        progress = True
        while progress:
            progress = False
            for owner, place, node in self.ready():
                each, move = self.classes[owner], self.classes[owner].moves[place]
                name = each.nodes[node]
                if move.breaking and each.spans and name not in self.spanned:
                    continue
                if not move.takes or self.steps.take(f"{place} {name}", move.takes):
                    self.begin(owner, place, node)
                    progress = True

    def run(self) -> Times:
        while True:
            self.end_what_ends()
            self.take_spans()
            self.begin_steps()
            coming = [end for _, end in self.times.values() if end > self.now]
            if not coming:
                return self.times
            self.now = min(coming)


def laid_out(found: Schedule) -> Times:
    times: Times = {}
    for stay in found.stays:
        for name in found.classes[stay.owner].nodes[stay.first : stay.first + stay.count]:
            assert (name, stay.place) not in times
            times[name, stay.place] = (stay.start_s, stay.end_s)
    return times


@settings(max_examples=600, deadline=None)
@given(node_classes(), limits)
def test_every_step_begins_when_the_engine_would_begin_it(
    classes: tuple[NodeClass, ...], limited: Limits
) -> None:
    found = schedule(classes, limited)
    times = Naive(classes, limited).run()
    assert laid_out(found) == times
    for stuck in found.stuck:
        each = classes[stuck.owner]
        assert limited.spent.get(stuck.pool, 0) >= limited.spans[stuck.pool] > 0
        for name in each.nodes[stuck.first : stuck.first + stuck.count]:
            assert not all((name, place) in times for place in range(len(each.moves)))


@settings(max_examples=600, deadline=None)
@given(node_classes(), limits)
def test_the_critical_path_leads_without_a_gap_to_the_last_end(
    classes: tuple[NodeClass, ...], limited: Limits
) -> None:
    found = schedule(classes, limited)
    legs = critical_path(found, range(len(classes)))
    assert bool(legs) == bool(found.stays)
    if legs:
        assert legs[0].start_s == 0
        assert legs[-1].end_s == max(stay.end_s for stay in found.stays)
    for one, other in pairwise(legs):
        assert one.end_s == other.start_s and one.start_s < one.end_s
    for leg in legs:
        assert leg.nodes and leg.moves and (leg.limit > 0) == (leg.pool is not None)
    for stay in found.stays:
        assert stay.ready_s <= stay.start_s == (stay.cause.end_s if stay.cause else 0)
        assert (stay.ready_s < stay.start_s) == (stay.through is not None)
        if stay.through is not None:
            assert stay.cause is not None
            giver = classes[stay.cause.owner]
            held = giver.spans if stay.span else giver.moves[stay.cause.place].takes
            limit = (limited.spans if stay.span else limited.steps)[stay.through]
            assert stay.through in held and limit > 0


@settings(max_examples=200, deadline=None)
@given(node_classes(), limits)
def test_a_node_is_out_of_service_from_its_first_breaking_step_to_its_end(
    classes: tuple[NodeClass, ...], limited: Limits
) -> None:
    found = schedule(classes, limited)
    times = Naive(classes, limited).run()
    told = {
        name: (passage.down_s, passage.end_s)
        for passage in found.passages
        for name in classes[passage.owner].nodes[passage.first : passage.first + passage.count]
    }
    stuck = {
        name
        for each in found.stuck
        for name in classes[each.owner].nodes[each.first : each.first + each.count]
    }
    for each in classes:
        for name in each.nodes:
            assert (name in told) != (name in stuck)
            if name in told:
                end = max(times[name, place][1] for place in range(len(each.moves)))
                breaks = [times[name, p][0] for p, move in enumerate(each.moves) if move.breaking]
                assert told[name] == (min(breaks, default=-1), end)
