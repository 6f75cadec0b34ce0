"""Rollouts by the production decisions and engine on a simulated scheduler, over many seeds.

In each of them all rules are looked at from outside (`kedge.sim.rolling.watch`).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from broken_rollouts import go_on_after_a_failed_gate, take_too_many
from kedge.rollout.model import FINAL
from kedge.sim.rolling.driver import Driver
from kedge.sim.rolling.jobs import MOST_S
from kedge.sim.rolling.trouble import USUAL, Faults
from kedge.sim.rolling.ways import measure, weekly
from kedge.sim.rolling.world import World

HOUR_S = 3600.0


def run(seed: int, nodes: int, faults: Faults) -> Driver:
    world = World(seed, nodes)
    world.run_until(12 * HOUR_S)
    rollout = weekly(nodes, seed=seed)
    if seed % 3 == 1:
        rollout = replace(rollout, most_out=4, most_out_of={"rack": 2})
    driver = Driver(world, rollout, faults=faults, seed=seed, gate_s=300.0)
    killed = watch_jobs(world)
    while driver.over_at < 0:
        world.run_until(world.now + HOUR_S)
        assert world.now < 12 * HOUR_S + 4 * MOST_S, driver.progress
    assert not killed and not driver.watch.broken
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


@pytest.mark.parametrize("seed", range(40))
def test_every_node_gets_there_and_never_too_many_are_out(seed: int) -> None:
    driver = run(seed, 40, Faults(restart=0.01))
    assert driver.progress.state == "done"
    assert set(driver.image.values()) == {"B"} == set(driver.release.values())
    assert all(driver.world.scheduler.open)
    assert driver.most_out <= driver.rollout.most_out


@pytest.mark.parametrize("seed", range(40))
def test_a_broken_release_stops_at_the_canaries_and_goes_back(seed: int) -> None:
    faults = Faults(update=0.8) if seed % 2 else Faults(check=0.8)
    driver = run(seed, 40, Faults(faults.update, faults.check, restart=0.005))
    if driver.progress.state != "done":  # else no canary had bad luck
        assert driver.progress.state == "rolled_back"
        assert set(driver.release.values()) == {"A"}
        assert set(driver.image.values()) == {"A"} and all(driver.world.scheduler.open)
    assert driver.most_out <= driver.rollout.most_out


@pytest.mark.parametrize("seed", range(40))
def test_what_a_person_drained_stays_drained(seed: int) -> None:
    driver = run(seed, 40, Faults(person=0.002, restart=0.005))
    assert driver.progress.state in FINAL
    for name in driver.by_person:
        assert not driver.world.scheduler.open[driver.number[name]]
    others = set(driver.names) - driver.by_person
    assert {driver.image[name] for name in others} == {"B"}


@pytest.mark.parametrize("seed", range(1000, 1080))
def test_whatever_goes_wrong_the_rules_are_kept(seed: int) -> None:
    driver = run(seed, 80, USUAL)
    assert driver.progress.state in FINAL
    for name in driver.by_person:
        assert not driver.world.scheduler.open[driver.number[name]]


def test_a_rollout_that_takes_too_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    take_too_many(monkeypatch, 10)
    with pytest.raises(AssertionError, match="nodes are out, 2 may be"):
        run(3, 40, Faults())


def test_a_rollout_that_goes_on_after_a_failed_gate_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on_after_a_failed_gate(monkeypatch)
    with pytest.raises(AssertionError, match="after the rollout had stopped"):
        run(3, 40, Faults(gate=1.0))


def test_the_same_seed_gives_the_same_costs() -> None:
    assert measure(40, 3, lambda _: None) == measure(40, 3, lambda _: None)


def test_kedge_costs_less_than_the_simple_ways_that_are_used() -> None:
    costs = {cost.way: cost for cost in measure(200, 5, lambda _: None)}
    assert all(cost.updated == 200 for cost in costs.values())
    assert costs["kedge"].most_out <= 10 < costs["window"].most_out
    assert costs["kedge"].lost < costs["window"].lost < costs["drain all"].lost
