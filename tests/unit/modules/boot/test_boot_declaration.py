"""What the modules declare fits together, and asks for the order that a boot needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import FakeIo, one_network_site
from kedge.core.graph import Graph
from kedge.core.kinds import ValueProblem
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules import boot, image, power
from kedge.modules.boot.layer0.record import Blob, Layer0, save_record


def test_the_modules_fit_together_and_power_off_forgets_the_boot() -> None:
    graph = Graph.of([power.module, boot.module, image.module])
    wanted = {"power.state": "on", "image.wanted": "r/c:1", "boot.arch": "aarch64"}
    goals = graph.goals(wanted)  # type: ignore[arg-type]
    assert goals["power.state"] == "on" and goals["image.running"] == "wanted"
    assert "boot.arch" not in goals
    off = graph.goals({**wanted, "power.state": "off"})  # type: ignore[arg-type]
    assert "image.running" not in off


async def test_loading_grants_a_permit_where_there_is_something_to_load(tmp_path: Path) -> None:
    site = one_network_site({"n1": Configuration("n1")})
    async with FakeIo(site, tmp_path, modules=(boot.module,)) as io:
        with pytest.raises(KedgeError) as caught:
            await boot.load(io.fake_nodes["n1"], io)
        assert caught.value.code == "layer0.missing" and io.take_permit("n1") is None
        blob = Blob("sha256:" + "a" * 64, 1)
        save_record(tmp_path, Layer0("x86_64", blob.blob, blob, blob, {}, ""))
        await boot.load(io.fake_nodes["n1"], io)
        assert io.take_permit("n1") is not None and io.take_permit("n1") is None


def test_kernel_arguments_are_checked_where_they_are_written() -> None:
    boot.args.kind.check(["console=ttyS0,115200"])
    for bad in (["a b"], ["${x}"], "console", [1]):
        try:
            boot.args.kind.check(bad)
        except ValueProblem:
            continue
        raise AssertionError(bad)
