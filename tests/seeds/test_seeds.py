"""A few hundred small worlds, each drawn from one number; a failing one is made small and told.

A bug that a seed found becomes a file in `tests/scenarios`: seeds mean other worlds once a kind of fault
is added.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from kedge.sim.runs.run import run
from kedge.sim.runs.shrink import shrink
from kedge.sim.scenarios.drawing import draw_gentle, draw_scenario
from kedge.sim.scenarios.drawing_rollouts import draw_rolling
from kedge.sim.scenarios.scenario import Scenario

SEEDS = int(os.environ.get("KEDGE_SEEDS", "300"))
IN_ONE_TEST = 10
GENTLE = SEEDS // 10
ROLLING = SEEDS // 3
DRAWN = {draw_scenario: "drawn", draw_gentle: "gentle", draw_rolling: "rolling"}


def check(seed: int, draw: Callable[[int], Scenario] = draw_scenario) -> None:
    scenario = draw(seed)
    result = run(scenario)
    if result.violations:
        small = shrink(scenario, lambda smaller: run(smaller).rule == result.rule, most_runs=40)
        only = ",".join(map(str, small.numbers))
        happened = "\n  ".join(map(str, (*small.faults, *small.commands)))
        pytest.fail(
            f"seed {seed}: {result.violations[0]}\nWhat matters:\n  {happened}\n"
            f"Again: kedge sim run --{DRAWN[draw]} --seed {seed} --only {only or 0}"
        )


@pytest.mark.parametrize("first", range(0, SEEDS, IN_ONE_TEST))
def test_seeds(first: int) -> None:
    for seed in range(first, min(SEEDS, first + IN_ONE_TEST)):
        check(seed)


@pytest.mark.parametrize("first", range(0, ROLLING, IN_ONE_TEST))
def test_a_release_rolls(first: int) -> None:
    for seed in range(first, min(ROLLING, first + IN_ONE_TEST)):
        check(seed, draw_rolling)


@pytest.mark.parametrize("first", range(0, GENTLE, IN_ONE_TEST))
def test_short_faults_cost_no_boot(first: int) -> None:
    for seed in range(first, min(GENTLE, first + IN_ONE_TEST)):
        check(seed, draw_gentle)
