"""Rollouts in whole simulated clusters: what is asked for, what it costs, and broken rules are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from broken_rollouts import go_on_after_a_failed_gate, take_too_many
from kedge.cli.sim import sim
from kedge.lib.errors import KedgeError
from kedge.master.serve import installed_modules
from kedge.modules.scheduler import orders
from kedge.sim.happening import Happening
from kedge.sim.runs.result import Result, RolloutResult
from kedge.sim.runs.run import run
from kedge.sim.scenarios.choosing import Choice, choose
from kedge.sim.scenarios.scenario import Scenario

QUICK = """
max_unavailable: 1
gates: { test: { command: "true", deadline: 10min } }
stages: [{ name: canary, count: 1, gates: [test] }, { name: rest, rest: true }]
"""


def asked(*more: Happening, faults: Sequence[Happening] = (), lasts_s: float = 3600.0) -> Scenario:
    choice = Choice(nodes=4, jobs=0.5, rollout="quick.yaml", rollout_text=QUICK, faults=0)
    scenario = choose(choice, installed_modules())
    return replace(
        scenario,
        lasts_s=lasts_s,
        commands=(*scenario.commands, *more),
        faults=tuple(faults),
    )


def rolled(result: Result) -> RolloutResult:
    (one,) = result.rollouts
    return one


def test_a_rollout_ends_and_tells_what_it_cost() -> None:
    result = run(asked(lasts_s=0.0))
    one = rolled(result)
    assert not result.violations
    assert (one.name, one.state, one.moved, one.left) == ("quick", "done", 4, {})
    assert one.most_taken == one.most_allowed == 1
    assert one.took_s is not None and 0 < one.lost_h < 4 * one.took_s / 3600
    assert result.jobs["lost"] == 0


def test_a_stop_what_a_person_said_and_who_is_left_are_told() -> None:
    held = Happening(0.0, "hold", "n2", args={"reason": "a fan"}, number=8)
    fails = Happening(0.0, "gates_fail", "head", 2400.0, number=9)
    result = run(asked(held, faults=[fails]))
    one = rolled(result)
    assert not result.violations
    assert "gate test of stage canary failed" in one.stops[0][1]
    assert "resume" in one.helped
    assert one.state == "rolled_back" or one.left == {"held: a fan": "n2"}


@pytest.mark.parametrize("name", ["weakly", "rollouts/weekly"])
def test_a_rollout_that_the_site_does_not_describe_is_refused(name: str) -> None:
    files = {"rollouts/weekly.yaml": QUICK, "cluster.yaml": ""}
    with pytest.raises(KedgeError, match="describes no rollout") as caught:
        choose(Choice(files=files, site="site", rollout=name), installed_modules())
    assert "Known: weekly" in caught.value.next_step


def test_the_command_says_with_its_status_whether_the_rollout_would_get_there(
    tmp_path: Path,
) -> None:
    file = tmp_path / "quick.yaml"
    file.write_text(QUICK)
    words = ["run", "--nodes", "3", "--jobs", "0", "--rollout", str(file)]
    told = CliRunner().invoke(sim, words)
    assert told.exit_code == 0, told.output
    assert "quick to next: done after" in told.output
    file.write_text(QUICK.replace("count: 1", "nodes: n7"))
    refused = CliRunner().invoke(sim, words)
    assert refused.exit_code != 0


# ---- the finder


def test_a_rollout_that_takes_too_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    take_too_many(monkeypatch, 3)
    assert run(asked()).rule == "never more out than allowed"


def test_a_rollout_that_goes_on_after_a_failed_gate_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on_after_a_failed_gate(monkeypatch)
    fails = Happening(0.0, "gates_fail", "head", number=9)
    assert run(asked(faults=[fails])).rule == "nothing continues after a failed gate"


def test_a_persons_drain_that_is_ended_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "_refused", lambda *_: None)
    monkeypatch.setattr("kedge.modules.scheduler.driver.Seen.return_by", "kedge")
    monkeypatch.setattr("kedge.modules.scheduler.driver.Seen.drained_by", "kedge")
    drained = Happening(0.0, "drain", "n2", args={"reason": "a fan"}, number=9)
    assert run(asked(drained)).rule == "a person's drain stays"
