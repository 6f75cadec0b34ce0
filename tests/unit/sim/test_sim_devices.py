"""Simulated machines: what they show, and what a simulated head refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kedge.lib.errors import KedgeError
from kedge.master.serve import installed_modules
from kedge.sim.devices import Machines, simulated

REFERENCE = "registry:5000/compute:1"


def test_a_simulated_node_shows_the_reference_that_it_runs() -> None:
    modules = list(installed_modules())
    relation = next(
        v.relation for m in simulated(modules) for v in m.variables if v.name == "image.running"
    )
    machines = Machines(pace=0.001)
    machines.simulated(modules)
    node: Any = SimpleNamespace(name="n1", configured=lambda _: REFERENCE)
    assert relation is not None
    assert machines.read(node, ["image.running"]) == {"image.running": "(none)"}
    assert relation.of("(none)", REFERENCE) == "none"
    machines.set(node, {"power.state": "on", "boot.stage": "running", "image.running": "wanted"})
    assert machines.read(node, ["image.running"]) == {"image.running": REFERENCE}
    assert relation.of(REFERENCE, REFERENCE) == "wanted"
    assert relation.of(REFERENCE, "registry:5000/compute:2") == "kernel"


async def test_actions_that_only_look_work_and_others_are_refused(tmp_path: Any) -> None:
    image = next(m for m in simulated(installed_modules()) if m.name == "image")
    io: Any = SimpleNamespace(state_dir=tmp_path, nodes=dict, image_claims=tuple)
    assert await image.actions["list"](io, {}) == []
    with pytest.raises(KedgeError) as caught:
        await image.actions["import"](io, {"reference": REFERENCE})
    assert caught.value.code == "sim.action"
