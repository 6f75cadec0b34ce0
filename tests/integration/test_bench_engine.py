"""The parts of ``scripts/bench engine`` on few nodes: what does not depend on time holds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from scale import boots, changes, planning


def test_nodes_boot_in_nine_steps_and_the_log_is_written() -> None:
    found = boots.measure(40)
    assert found["steps_per_node"] >= 9
    assert found["transitions"] == found["steps_per_node"] * 40
    assert found["searches"] < 10 and found["log_bytes"] > 0


def test_searches_grow_with_the_classes_and_not_with_the_nodes() -> None:
    assert planning.classes(200)["searches"] == 20
    assert planning.classes(600)["searches"] == 20
    found = planning.storm(600, 4, 0.02)
    assert found["failed_steps"] > 0 and found["nodes_not_converged"] == 0
    assert found["searches"] < 40


def test_a_changed_profile_reaches_its_nodes_and_no_others() -> None:
    found = changes.measure(1500)
    assert found["one_profile_of_all"]["changed_nodes"] == 1000
    assert found["one_profile_of_few"]["changed_nodes"] == 500
    assert found["one_profile_of_few"]["to_first_step_s"] > 0
