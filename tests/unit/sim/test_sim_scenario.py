"""Scenario files: what is wrong in them is said, what is drawn can be written, all kinds are documented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kedge.lib.errors import KedgeError
from kedge.sim.commands import COMMANDS
from kedge.sim.faults import FAULTS
from kedge.sim.happening import duration, seconds
from kedge.sim.scenarios.drawing import draw_scenario
from kedge.sim.scenarios.drawing_rollouts import draw_rolling
from kedge.sim.scenarios.scenario import Scenario, read_scenario, write_scenario
from kedge.sim.world.overlay import Overlay

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "scenarios.md"


@pytest.mark.parametrize("draw", [draw_scenario, draw_rolling])
@pytest.mark.parametrize("seed", range(40))
def test_what_was_drawn_can_be_written_and_read_again(
    seed: int, draw: Callable[[int], Scenario]
) -> None:
    drawn = draw(seed)
    again = read_scenario(write_scenario(drawn), "it")
    assert replace(again, about=drawn.about) == drawn


@pytest.mark.parametrize(
    ("written", "code", "says"),
    [
        ("faults: [{at: 1m, hang: n1}]", "scenario.unknown", "hangs"),
        ("faults: [{at: 1m, for: 2m}]", "scenario.kind", "bmc_hangs"),
        ("faults: [{at: 1m, hangs: n1, dies: n1}]", "scenario.kind", "Write one of"),
        ("faults: [{at: soon, hangs: n1}]", "scenario.duration", "1h30m"),
        ("faults: [{at: 1m, loss: n1, share: much}]", "scenario.number", "share"),
        ("faults: [{at: 1m, loss: n1, way: up}]", "scenario.unknown", "both, out, in"),
        ("faults: [{at: 1m, loss: n1, sharing: 0.1}]", "scenario.unknown", "share"),
        ("commands: [{at: 1m, hold: n1, because: x}]", "scenario.unknown", "reason"),
        ("cluster: {node: 3}", "scenario.cluster", "nodes"),
        ("expect: [{node: n1}]", "scenario.unknown", "nodes"),
        ("fault: []", "scenario.unknown", "faults"),
        ("faults: {at: 1m}", "scenario.not_a_list", ""),
        ("[1, 2", "scenario.unreadable", ""),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(written: str, code: str, says: str) -> None:
    with pytest.raises(KedgeError) as caught:
        read_scenario(written, "file.yaml")
    assert caught.value.code == code
    assert says in f"{caught.value.what} {caught.value.next_step}"


@pytest.mark.parametrize("text", ["1h30m", "200ms", "-5m", "1m1s1ms", "24h", "0s"])
def test_durations_come_back(text: str) -> None:
    assert duration(seconds(text, "it")) == text


def test_every_kind_is_documented() -> None:
    page = REFERENCE.read_text()
    for kind in FAULTS.values():
        assert f"| `{kind.name}` | {kind.summary} |" in page
        assert all(f"`{word}`" in page for word in (*kind.numbers, *kind.words))
    assert all(f"`{command}`" in page for command in COMMANDS)


def test_faults_of_one_thing_end_in_any_order() -> None:
    class Thing:
        ill = False

    thing, overlay = Thing(), Overlay()
    first, second = overlay.put(thing, "ill", "a"), overlay.put(thing, "ill", "b")
    first()
    assert thing.ill == "b"
    third = overlay.put(thing, "ill", "c")
    third()
    assert thing.ill == "b"
    second()
    assert thing.ill is False
