"""Orders to an agent that is attached to another parent than its node's owner go by way of the master."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from small_master import until
from tree_world import World, site, tree_world

NODES = ("n1", "n2", "n3")


async def order_and_answer(world: World, owner: Any) -> None:
    """The agent of n1 gets an order, answers that it failed, gets the next one, and does it."""
    agent = world.agents["n1"]
    world.master.operations.set_values("n1", {"box.job": "done"}, "alice")
    await until(lambda: bool(agent.order()), 15)
    order, at = agent.order(), agent.port
    assert not owner.link.parent.is_attached("n1")
    failed = {"id": order["id"], "status": "failed", "error": {"what": "no room"}}
    agent.report(**{"order/box.work": failed})
    await until(lambda: agent.order() not in ({}, order), 30)
    agent.report(box__job="done")
    await until(lambda: world.converged(*NODES), 20)
    await until(lambda: not agent.order(), 15)
    assert agent.port == at and not owner.link.parent.is_attached("n1")
    assert not world.cycles()


async def quiet(world: World) -> None:
    """Nothing is on its way any more, once the agent has it."""
    relaying = world.master.operations.tree._tree.relaying
    await until(lambda: not relaying._written and not any(relaying._down.values()), 15)


def cut_off(world: World, node: str, *names: str) -> None:
    """The node's agent cannot reach these processes, nor they it."""
    world.agents[node].cut = {world.ports[name] for name in names}


def test_from_a_sub_master_to_an_agent_that_is_attached_to_another(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm1 = await world.start("sm1")
            sm2 = await world.start("sm2")
            world.master.operations.apply(site(), "test")
            await until(lambda: world.converged(*NODES), 20)
            assert world.owner() == "sm1"
            cut_off(world, "n1", "sm1")
            await until(lambda: world.agents["n1"].port == world.ports["sm2"], 30)
            await order_and_answer(world, sm1)
            assert world.owner() == "sm1"
            await quiet(world)

            cut_off(world, "n1")  # the owner is there again, and goes on with the record itself
            await until(lambda: world.agents["n1"].port == world.ports["sm1"], 30)
            world.master.operations.set_values("n1", {"box.job": "idle"}, "alice")
            await asyncio.sleep(1)
            assert sm2.link.parent.written_at("n1") is None

    asyncio.run(work())


def test_from_a_sub_master_to_an_agent_that_is_attached_to_the_master(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm1 = await world.start("sm1")
            world.master.operations.apply(site("sm1, master"), "test")
            await until(lambda: world.owner() == "sm1" and world.converged(*NODES), 30)
            cut_off(world, "n1", "sm1")
            await until(lambda: world.agents["n1"].port == world.ports["master"], 30)
            await order_and_answer(world, sm1)
            await quiet(world)

    asyncio.run(work())


def test_from_the_master_to_an_agent_that_is_attached_to_a_sub_master(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await world.start("sm1")
            world.master.operations.apply(site("master, sm1"), "test")
            await until(lambda: world.converged(*NODES), 30)
            assert world.owner() == ""
            await until(lambda: len(world.agents["n1"].child.parents) == 2, 10)
            cut_off(world, "n1", "master")
            await until(lambda: world.agents["n1"].port == world.ports["sm1"], 30)
            await order_and_answer(world, world.master)
            await quiet(world)

    asyncio.run(work())
