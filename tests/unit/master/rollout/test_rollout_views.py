"""What a rollout takes for the failure of a node, from what the engine and the node say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kedge.core.condition import Condition, Phase
from kedge.master.rollout import views

RUNS = {"image.running": "wanted"}


def failed(phase: Phase, why: str = "", **discovered: str) -> str:
    seen = {name.replace("__", "."): value for name, value in discovered.items()}
    node: Any = SimpleNamespace(seen=lambda _: [{"check": "gpus", "why": "one of 8 is gone"}])
    condition = Condition("n1", phase, 0.0, why, discovered=seen, goals=RUNS)
    return views._failed(node, condition)  # pyright: ignore[reportPrivateUsage]


def test_a_node_that_is_given_up_or_that_the_breaker_stops_has_failed() -> None:
    assert failed("quarantined", "three attempts") == "quarantined: three attempts"
    assert failed("blocked", "no path") == "blocked: no path"
    breaker = "held back: 5 of 8 nodes of compute failed at once, so the breaker is open"
    assert failed("waiting", breaker) == breaker
    assert failed("waiting", "a budget") == failed("moving") == failed("converged") == ""


@pytest.mark.parametrize(("image", "counts"), [("wanted", True), ("userland", False)])
def test_a_failed_check_counts_while_the_node_runs_what_it_was_given(
    image: str, counts: bool
) -> None:
    """Given its old release back, a node has the verdict of the new one until it is booted."""
    told = failed("moving", image__running=image, health__verdict="fail")
    assert told == ("the health check failed: gpus: one of 8 is gone" if counts else "")
