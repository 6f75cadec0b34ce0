"""Sub-masters of a simulated cluster, level by level."""

from __future__ import annotations

import pytest

from kedge.sim.scenarios.shape import Shape, below_of


@pytest.mark.parametrize(
    ("submasters", "depth", "below"),
    [
        (2, 1, {}),
        (2, 2, {"sm2": "sm1"}),
        (3, 3, {"sm2": "sm1", "sm3": "sm2"}),
        (4, 2, {"sm3": "sm1", "sm4": "sm2"}),
        (5, 3, {"sm3": "sm1", "sm4": "sm2", "sm5": "sm3"}),
        (0, 3, {}),
        (2, 0, {}),
    ],
)
def test_sub_masters_stand_in_levels(submasters: int, depth: int, below: dict[str, str]) -> None:
    assert below_of(Shape(submasters=submasters, depth=depth)) == below
    assert below_of(Shape(submasters=submasters, depth=depth, hosted=True)) == {}
