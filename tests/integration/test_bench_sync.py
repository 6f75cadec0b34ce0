"""``scripts/bench sync`` runs: each part, as small as it goes. What it measures so is worth nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

import sync_agent
import sync_receive
import sync_scale
import sync_virtual

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("cc") is None, reason="needs root and a C compiler"
)

PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "receive": lambda: sync_receive.measure(print, children=20, rounds=1),
    "burst": lambda: sync_scale.burst(print, count=20),
    "sub_masters": lambda: sync_scale.sub_masters(print, count=3, nodes_each=80, measured_s=1.0),
    "propagation": lambda: sync_virtual.measure(print, agents=400, loss=0.01),
    "agent": lambda: sync_agent.measure(print, minutes=0.02),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_bench(part: str):
    report = PARTS[part]()
    assert report
    for lost in ("datagrams_lost_at_the_socket", "declared_dead", "lost_afterwards"):
        assert not report.get(lost)
