"""A shut-down that nobody wants any more: what of the node lasts is not known until it is off, or goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes import FakeIo, one_network_site
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules import power, scheduler


class Bmc:
    power = "on"

    def read(self) -> str:
        return self.power

    def shut_down(self) -> None:
        pass


@pytest.fixture
def bmc(monkeypatch: pytest.MonkeyPatch) -> Bmc:
    made = Bmc()

    async def ask(node: Any, io: Any, question: Any) -> Any:
        return question(made)

    monkeypatch.setattr(power, "ask", ask)
    return made


async def interrupted(io: FakeIo) -> Any:
    """A node whose shut-down was asked for and is not waited for any more."""
    node = io.fake_nodes["n1"]
    await power.read(node, io)
    step = asyncio.create_task(power.shut_down(node, io))
    await asyncio.sleep(0.01)
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    return node


async def test_a_node_that_may_still_go_down_is_not_said_to_be_on(
    bmc: Bmc, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeIo(one_network_site({"n1": Configuration("n1")})) as io:
        node = await interrupted(io)
        assert node.seen("power.state") is None
        with pytest.raises(KedgeError, match="may still do so"):
            await power.read(node, io)
        with pytest.raises(KedgeError, match="goes on running"):
            await scheduler.resume(node, io)
        bmc.power = "off"
        await power.read(node, io)
        assert node.seen("power.state") == "off"
        bmc.power = "on"
        await power.read(node, io)
        assert node.seen("power.state") == "on", "that was another boot"
        monkeypatch.setattr(power, "ENDS_WITHIN_S", 0.0)
        node = await interrupted(io)
        await power.read(node, io)
        assert node.seen("power.state") == "on", "it went on"


async def test_a_shut_down_that_worked_leaves_no_doubt(bmc: Bmc) -> None:
    async with FakeIo(one_network_site({"n1": Configuration("n1")})) as io:
        node = io.fake_nodes["n1"]
        await power.read(node, io)
        step = asyncio.create_task(power.shut_down(node, io))
        await asyncio.sleep(0.01)
        bmc.power = "off"
        await power.read(node, io)
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
        assert node.seen("power.state") == "off"
