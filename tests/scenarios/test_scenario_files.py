"""Every scenario file comes out as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.sim.runs.run import run
from kedge.sim.scenarios.scenario import read_scenario

FILES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_scenario(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# "), "a scenario begins with a drawing or a comment"
    scenario = read_scenario(text, file.name)
    assert scenario.about
    result = run(scenario)
    assert not result.violations, (
        f"{result.violations}\nAgain: kedge sim run --scenario tests/scenarios/{file.name}"
    )
