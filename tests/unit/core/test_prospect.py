"""What the engine foresees is what it then does, where devices take as long as they are said to."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from worlds import RUNNING, UP, World

from kedge.core.engine.prospect import Prospect, Would
from kedge.core.events import (
    BudgetSet,
    Effect,
    Event,
    NodeConfigured,
    Observed,
    Pool,
    Pools,
    Requested,
    StartDiscovery,
    StartStep,
    Tick,
)

INRUSH = ("power.switch_on", "rack 1")
SERVERS = ("boot.load", "cluster")
OUT = ("out", "cluster")
OFF = {"power.state": "off", "boot.stage": "none", "image.running": "none", "image.ready": "ready"}
BARE = {**OFF, "image.ready": "missing"}


class Yard(World):
    """Devices that take exactly the declared time for a step, and a second to answer."""

    def __init__(self, limits: Mapping[Pool, int], spans: Mapping[Pool, int]) -> None:
        super().__init__()
        self.limits, self.spans = limits, spans
        self.coming: list[tuple[float, int, str, tuple[str, ...], Mapping[str, str]]] = []
        self.order = count()
        self.is_now: dict[str, dict[str, str]] = {}
        self.there_at: dict[str, float] = {}
        self.down_at: dict[str, float] = {}
        for span, pools in ((False, limits), (True, spans)):
            for pool, limit in pools.items():
                self.tell(BudgetSet(*pool, limit, span))

    @property
    def pools(self) -> dict[str, Pools]:
        return {"limits": tuple(sorted(self.limits)), "spans": tuple(sorted(self.spans))}

    def member(self, name: str, goals: Mapping[str, str], seen: Mapping[str, str]) -> None:
        self.is_now[name] = dict(seen)
        self.tell(NodeConfigured(name, goals, **self.pools))
        self.tell(Observed(name, seen, "test"))

    def tell(self, event: Event, after: float = 0.0) -> list[Effect]:
        found = super().tell(event, after)
        for effect in found:
            if isinstance(effect, StartStep):
                mutation = self.graph.mutations[effect.mutation]
                if mutation.destructive:
                    self.down_at.setdefault(effect.node, self.now)
                effects = mutation.effects
                self._later(mutation.cost_s, effect.node, tuple(effects), effects)
            elif isinstance(effect, StartDiscovery):
                names = self.graph.discoveries[effect.discovery].variables
                self._later(1, effect.node, names, {})
        for name in self.is_now:
            phase = self.engine.condition(name).phase
            if phase != "converged":
                self.there_at.pop(name, None)
            else:
                self.there_at.setdefault(name, self.now)
        return found

    def _later(
        self, delay_s: int, node: str, names: tuple[str, ...], effects: Mapping[str, str]
    ) -> None:
        entry = (self.now + delay_s, next(self.order), node, names, effects)
        heapq.heappush(self.coming, entry)

    def run(self) -> None:
        """Until every node has been in the same phase for long."""
        end = self.now + 1000
        while self.now < end:
            timeout = self.engine.next_timeout() or end
            when = self.coming[0][0] if self.coming else end
            if timeout < when:
                self.tell(Tick(), max(0.0, timeout - self.now))
                continue
            if not self.coming:
                return
            _, _, node, names, effects = heapq.heappop(self.coming)
            now = self.is_now[node]
            now.update(effects)
            if now["power.state"] == "off" or effects.get("power.state") == "on":
                now.update({"boot.stage": "none", "image.running": "none"})
            seen = {name: now[name] for name in names}
            self.tell(Observed(node, seen, "device"), max(0.0, when - self.now))

    def foresee(self, *woulds: Would) -> Prospect:
        return self.engine.foresee(woulds, self.limits, self.spans)

    def would(self, name: str, goals: Mapping[str, str], **more: Any) -> Would:
        return Would(name, goals, **self.pools, **more)


def ends(prospect: Prospect) -> dict[str, int]:
    classes = prospect.schedule.classes
    return {
        name: passage.end_s
        for passage in prospect.schedule.passages
        for name in classes[passage.owner].nodes[passage.first : passage.first + passage.count]
    }


NODES = [f"n{i:02}" for i in range(11)]


@pytest.mark.parametrize("start", [OFF, BARE])
@pytest.mark.parametrize(("inrush", "servers"), [(0, 0), (2, 0), (3, 2), (1, 5)])
def test_nodes_are_there_when_it_was_foreseen(
    inrush: int, servers: int, start: dict[str, str]
) -> None:
    yard = Yard({INRUSH: inrush, SERVERS: servers}, {})
    for name in NODES:
        yard.member(name, {"power.state": "off"}, start)
    prospect = yard.foresee(*(yard.would(name, RUNNING) for name in NODES))
    began = yard.now
    for name in NODES:
        yard.tell(NodeConfigured(name, RUNNING, **yard.pools))
    yard.run()
    assert len(prospect.moving) == 1 and not prospect.moving[0].disrupted
    assert prospect.moving[0].returns
    assert {name: at - began for name, at in yard.there_at.items()} == ends(prospect)


@pytest.mark.parametrize("out", [0, 1, 4])
def test_a_cycle_takes_nodes_out_of_service_as_many_at_once_as_may_be(out: int) -> None:
    yard = Yard({INRUSH: 2}, {OUT: out})
    for name in NODES:
        yard.member(name, RUNNING, UP)
    first = {"power.state": "off"}
    woulds = [yard.would(name, RUNNING, first=first, forgives=False) for name in NODES]
    prospect = yard.foresee(*woulds)
    (outlook,) = prospect.moving
    assert outlook.disrupted and outlook.returns
    assert [s.mutation for s in outlook.course.steps if s.breaking] == ["power.shut_down"]
    began = yard.now
    for name in NODES:
        yard.tell(Requested(name, first, "r1"))
    yard.run()
    assert {name: at - began for name, at in yard.there_at.items()} == ends(prospect)
    downs = {
        name: passage.down_s
        for passage in prospect.schedule.passages
        for name in NODES[passage.first : passage.first + passage.count]
    }
    assert {name: at - began for name, at in yard.down_at.items()} == downs


def test_nodes_that_are_under_way_stand_before_those_that_would_follow() -> None:
    yard = Yard({INRUSH: 1}, {})
    for name in NODES:
        yard.member(name, {"power.state": "off"}, OFF)
    for name in NODES[:4]:
        yard.tell(NodeConfigured(name, RUNNING, **yard.pools))
    assert yard.started() == [] and yard.condition("n00").running
    prospect = yard.foresee(*(yard.would(name, RUNNING) for name in NODES[4:]))
    found = ends(prospect)
    began = yard.now
    for name in NODES[4:]:
        yard.tell(NodeConfigured(name, RUNNING, **yard.pools))
    yard.run()
    assert {name: at - began for name, at in yard.there_at.items()} == found
    assert prospect.moving[0].nodes == tuple(NODES[4:]) and len(found) == len(NODES)
    assert [prospect.schedule.classes[i].nodes for i in prospect.owners] == [tuple(NODES[4:])]


def test_what_holds_nodes_back_is_said_instead_of_a_course() -> None:
    yard = Yard({}, {OUT: 1})
    for name in NODES[:4]:
        yard.member(name, RUNNING, UP)
    kept = yard.foresee(yard.would("n00", RUNNING, hold="broken fan"), yard.would("n01", RUNNING))
    assert kept.held == {"broken fan": ["n00"]}
    assert [outlook.nodes for outlook in kept.still] == [("n01",)] and not kept.moving
    nowhere = yard.foresee(yard.would("n02", {**RUNNING, "image.ready": "missing"}))
    assert nowhere.still[0].course.given_up == {"image.ready": "missing"}
    assert "image.ready=missing" in nowhere.still[0].course.blocked_by


def test_a_node_that_stays_down_keeps_its_span_from_the_others() -> None:
    yard = Yard({}, {OUT: 1})
    for name in NODES[:3]:
        yard.member(name, RUNNING, UP)
    yard.tell(NodeConfigured("n00", RUNNING, hold="broken fan", **yard.pools))
    yard.see("n00", power_state="off")
    first = {"power.state": "off"}
    prospect = yard.foresee(*(yard.would(name, RUNNING, first=first) for name in NODES[1:3]))
    (stuck,) = prospect.schedule.stuck
    assert stuck.pool == OUT and stuck.count == 2 and not prospect.schedule.passages


def test_of_a_new_node_it_is_said_what_it_is_taken_for() -> None:
    yard = Yard({}, {})
    prospect = yard.foresee(yard.would("n77", RUNNING))
    (outlook,) = prospect.moving
    assert outlook.taken == {**OFF, "image.ready": "missing"}
    steps = [step.mutation for step in outlook.course.steps]
    assert sorted(steps) == ["boot.load", "image.activate", "image.fetch", "power.switch_on"]
    assert not outlook.served and outlook.returns


def test_what_a_change_makes_unknown_is_taken_for_the_worst() -> None:
    yard = Yard({}, {})
    yard.member("n00", RUNNING, UP)
    seen = {"image.ready": "unknown", "image.running": "kernel"}
    (outlook,) = yard.foresee(yard.would("n00", RUNNING, seen=seen)).moving
    assert outlook.taken == {"image.ready": "missing"} and outlook.disrupted
    steps = [step.mutation for step in outlook.course.steps]
    assert steps.index("image.fetch") < steps.index("power.shut_down")
