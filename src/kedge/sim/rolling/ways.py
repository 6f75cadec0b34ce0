"""Ways to bring a release to every node of a busy cluster, beside Kedge's, and what each costs.

- *nothing*: no update at all; the others are measured against it, with the same jobs.
- *drain all*: every node is drained at once; when the last job has ended, all are updated.
- *drain each*: every node is drained at once; each is updated when its own job has ended. Cheap, but all
  nodes are on an untested release before anybody knows, and no wide job begins for days.
- *window*: a reservation of the whole cluster, as far ahead as the longest job; only jobs that end
  before it begin. Then all are updated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kedge.rollout.model import Gate, Rollout, Stage
from kedge.sim.rolling.driver import Driver
from kedge.sim.rolling.jobs import MOST_S
from kedge.sim.rolling.world import World

DAY_S = 86_400.0
WARM_S = 2 * DAY_S
SPAN_S = 6 * DAY_S
"""What is measured: long enough for every way to be over, and the cluster to be full again."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a way cost, in node-hours for each node updated: ``out`` is the time out of service without a
    job, ``lost`` what ran less than with *nothing*. ``most_out`` nodes took no new jobs at once."""

    way: str
    updated: int
    out: float
    lost: float
    most_out: int
    hours: float
    rounds: int = 0


def weekly(nodes: int, *, seed: int = 0) -> Rollout:
    """A rollout as a site would write it: sixteen canaries with a gate, a tenth, the rest; five in a
    hundred out at once."""
    names = tuple(f"n{number}" for number in range(nodes))
    gate = Gate("hpl", "command", ("true",), 3600.0)
    canaries = max(1, min(16, nodes // 8))
    stages = (
        Stage("canary", names, canaries, (gate,)),
        Stage("tenth", names, max(canaries, nodes // 10), (gate,)),
        Stage("rest", names, nodes),
    )
    was = dict.fromkeys(names, "A")
    most_out = max(1, nodes // 20)
    return Rollout("weekly", "B", was, stages, most_out, order="shortest", by=str(seed))


class _Simple:
    """What the simple ways share: every node is closed, updated and opened."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.updated = 0
        self.over_at = 0.0
        self.most_out = 0
        self.closed = 0

    def close(self, node: int) -> bool:
        self.closed += 1
        self.most_out = max(self.most_out, self.closed)
        return self.world.close(node)

    def update(self, node: int) -> None:
        self.world.later(self.world.update_s(node), lambda: self._updated(node))

    def _updated(self, node: int) -> None:
        self.updated += 1
        self.closed -= 1
        self.over_at = self.world.now
        self.world.reopen(node)

    def every(self) -> range:
        return range(self.world.nodes)


def _drain_all(world: World) -> _Simple:
    simple = _Simple(world)
    left = {node for node in simple.every() if not simple.close(node)}

    def freed(node: int) -> None:
        left.discard(node)
        if not left:
            for every in simple.every():
                simple.update(every)

    world.freed = freed
    return simple


def _drain_each(world: World) -> _Simple:
    simple = _Simple(world)
    world.freed = simple.update
    for node in simple.every():
        if simple.close(node):
            simple.update(node)
    return simple


def _window(world: World) -> _Simple:
    simple = _Simple(world)
    world.scheduler.closes_at = world.now + MOST_S

    def begin() -> None:
        world.scheduler.closes_at = float("inf")
        world.freed = simple.update
        for node in simple.every():
            if simple.close(node):
                simple.update(node)

    world.later(MOST_S, begin)
    return simple


SIMPLE: dict[str, Callable[[World], _Simple]] = {
    "drain all": _drain_all,
    "drain each": _drain_each,
    "window": _window,
}


def measure(nodes: int, seed: int, tell: Callable[[str], None]) -> list[Cost]:
    """All ways on the same jobs."""
    world = _warm(nodes, seed)
    world.run_until(WARM_S + SPAN_S)
    nothing_s = world.lost.busy_s
    costs: list[Cost] = []
    world = _warm(nodes, seed)
    driver = Driver(world, weekly(nodes, seed=seed), seed=seed)
    world.run_until(WARM_S + SPAN_S)
    updated = sum(1 for release in driver.image.values() if release == "B")
    hours = (driver.over_at - WARM_S) / 3600 if driver.over_at >= 0 else -1.0
    costs.append(
        _cost("kedge", world, updated, nothing_s, driver.most_out, hours, driver.rounds)
    )  # fmt: skip
    tell(f"seed {seed}: kedge {costs[-1].lost:.3f} h a node in {hours:.0f} h")
    for way, begin in SIMPLE.items():
        world = _warm(nodes, seed)
        simple = begin(world)
        world.run_until(WARM_S + SPAN_S)
        hours = (simple.over_at - WARM_S) / 3600
        costs.append(_cost(way, world, simple.updated, nothing_s, simple.most_out, hours))
        tell(f"seed {seed}: {way} {costs[-1].lost:.3f} h a node in {hours:.0f} h")
    return costs


def bound_h(nodes: int, seed: int) -> float:
    """The least that can be lost: the time that the updates themselves take."""
    world = World(seed, nodes)
    return sum(map(world.update_s, range(nodes))) / nodes / 3600


def _warm(nodes: int, seed: int) -> World:
    world = World(seed, nodes)
    world.run_until(WARM_S)
    world.count_from_now()
    return world


def _cost(
    way: str,
    world: World,
    updated: int,
    nothing_s: float,
    most_out: int,
    hours: float,
    rounds: int = 0,
) -> Cost:
    each = 3600.0 * max(1, updated)
    lost = (nothing_s - world.lost.busy_s) / each
    return Cost(way, updated, world.lost.out_s / each, lost, most_out, hours, rounds)
