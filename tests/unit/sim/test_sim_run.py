"""Runs: the same seed is the same run in any process, and a planted bug is found and made small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from kedge.core.engine.engine import Engine
from kedge.core.events import ConfiguredMany, NodeConfigured
from kedge.sim.happening import Happening
from kedge.sim.runs.result import Result
from kedge.sim.runs.run import run
from kedge.sim.runs.shrink import shrink
from kedge.sim.scenarios.drawing import draw_scenario
from kedge.sim.scenarios.scenario import Scenario
from kedge.sim.scenarios.shape import Shape
from kedge.sync.difference import NOTHING
from kedge.sync.record import Incoming

TELL = """
import sys
from kedge.sim.scenarios.drawing import draw_scenario
from kedge.sim.runs.run import run
print(run(draw_scenario(int(sys.argv[1]))).digest)
"""


def test_one_seed_is_one_run_in_any_process() -> None:
    """Also where sets have another order and addresses are others."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", TELL, "11"], env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
        for hash_seed in ("1", "2")
    }  # fmt: skip
    assert digests == {run(draw_scenario(11)).digest + "\n"}
    assert run(draw_scenario(2)).digest + "\n" not in digests


def test_a_cluster_boots_converges_and_is_quiet() -> None:
    result = run(Scenario(shape=Shape(nodes=4, racks=2, inrush=1), lasts_s=600.0))
    assert result.violations == ()
    assert result.phases == {"converged": 4}
    assert result.steps["boot.load"] == 4
    assert set(result.outcomes) == {"done"}
    assert result.settled_s is not None
    json.dumps(result.as_dict())


# ---- the finder


def test_an_engine_that_ignores_holds_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Engine.advance

    def blind(self: Engine, events: Iterable[Any], now: float) -> Any:
        seen = (
            type(e)(**{**{f: getattr(e, f) for f in e.__struct_fields__}, "hold": ""})
            if isinstance(e, NodeConfigured | ConfiguredMany)
            else e
            for e in events
        )
        return real(self, seen, now)

    monkeypatch.setattr(Engine, "advance", blind)
    with_holds = [s for s in range(1, 60) if "hold" in kinds(draw_scenario(s).commands)]
    with_holds.sort(key=lambda s: draw_scenario(s).lasts_s * draw_scenario(s).shape.nodes)
    scenario, result = first_failing(with_holds)
    assert result.rule == "no effect on a held node"
    small = shrink(scenario, lambda smaller: run(smaller).rule == result.rule)
    assert run(small).rule == result.rule
    assert len(small.numbers) <= 3 < len(scenario.numbers)
    assert "hold" in kinds(small.commands)


def test_a_sync_that_takes_old_versions_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Incoming.apply

    def careless(self: Incoming, difference: Any) -> Any:
        self.stamp = NOTHING
        return real(self, difference)

    monkeypatch.setattr(Incoming, "apply", careless)
    late = [s for s in range(1, 400) if "late" in kinds(draw_scenario(s).faults)]
    scenario, result = first_failing(late)
    assert result.rule == "versions never go back"
    small = shrink(scenario, lambda smaller: run(smaller).rule == result.rule, most_runs=30)
    assert len(small.numbers) < len(scenario.numbers)


def kinds(happenings: Iterable[Happening]) -> set[str]:
    return {happening.kind for happening in happenings}


def first_failing(seeds: Iterable[int]) -> tuple[Scenario, Result]:
    for seed in seeds:
        scenario = draw_scenario(seed)
        if len(scenario.numbers) > 3:
            result = run(scenario)
            if result.violations:
                return scenario, result
    raise AssertionError("no seed found the bug")


def test_shrinking_keeps_what_is_needed_together() -> None:
    happens = tuple(Happening(float(n), "hangs", "n1", number=n) for n in range(1, 21))
    runs: list[int] = []

    def fails(scenario: Scenario) -> bool:
        runs.append(len(scenario.numbers))
        return {4, 17} <= set(scenario.numbers)

    small = shrink(Scenario(faults=happens), fails)
    assert small.numbers == (4, 17)
    assert len(runs) < 60
    assert shrink(Scenario(faults=happens), lambda scenario: True).numbers == ()
