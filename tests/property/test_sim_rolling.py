"""Rollouts by the production decisions and engine on a simulated scheduler, over many seeds."""

from __future__ import annotations

import pytest

from kedge.rollout.model import FINAL
from kedge.sim.rolling.driver import Driver, Faults
from kedge.sim.rolling.jobs import MOST_S
from kedge.sim.rolling.ways import measure, weekly
from kedge.sim.rolling.world import World

HOUR_S = 3600.0


def run(seed: int, nodes: int, faults: Faults) -> Driver:
    world = World(seed, nodes)
    world.run_until(12 * HOUR_S)
    driver = Driver(world, weekly(nodes, seed=seed), faults=faults, seed=seed, gate_s=300.0)
    killed = watch_jobs(world)
    while driver.over_at < 0:
        world.run_until(world.now + HOUR_S)
        assert world.now < 12 * HOUR_S + 4 * MOST_S, driver.progress
    assert not killed
    return driver


def watch_jobs(world: World) -> list[int]:
    """Jobs that lost a node while they ran."""
    killed: list[int] = []
    reopen = world.reopen

    def watched(node: int) -> None:
        if world.scheduler.job[node] is not None:
            killed.append(node)
        reopen(node)

    world.reopen = watched  # type: ignore[method-assign]
    return killed


@pytest.mark.parametrize("seed", range(60))
def test_every_node_gets_there_and_never_too_many_are_out(seed: int) -> None:
    driver = run(seed, 40, Faults(restart=0.01))
    assert driver.progress.state == "done"
    assert set(driver.image.values()) == {"B"} == set(driver.release.values())
    assert all(driver.world.scheduler.open)
    assert driver.most_out <= driver.rollout.most_out


@pytest.mark.parametrize("seed", range(60))
def test_a_broken_release_stops_at_the_canaries_and_goes_back(seed: int) -> None:
    faults = Faults(update=0.8) if seed % 2 else Faults(check=0.8)
    driver = run(seed, 40, Faults(faults.update, faults.check, restart=0.005))
    if driver.progress.state != "done":  # else no canary had bad luck
        assert driver.progress.state == "rolled_back"
        assert set(driver.release.values()) == {"A"}
        assert set(driver.image.values()) == {"A"} and all(driver.world.scheduler.open)
    assert driver.most_out <= driver.rollout.most_out


@pytest.mark.parametrize("seed", range(60))
def test_what_a_person_drained_stays_drained(seed: int) -> None:
    driver = run(seed, 40, Faults(person=0.002, restart=0.005))
    assert driver.progress.state in FINAL
    for name in driver.by_person:
        assert not driver.world.scheduler.open[driver.number[name]]
    others = set(driver.names) - driver.by_person
    assert {driver.image[name] for name in others} == {"B"}


def test_the_same_seed_gives_the_same_costs() -> None:
    assert measure(40, 3, lambda _: None) == measure(40, 3, lambda _: None)


def test_kedge_costs_less_than_the_simple_ways_that_are_used() -> None:
    costs = {cost.way: cost for cost in measure(200, 5, lambda _: None)}
    assert all(cost.updated == 200 for cost in costs.values())
    assert costs["kedge"].most_out <= 10 < costs["window"].most_out
    assert costs["kedge"].lost < costs["window"].lost < costs["drain all"].lost
