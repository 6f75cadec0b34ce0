"""The tree, with everything real but the machines: delegation, failing over, going on alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from small_master import until
from tree_world import site, tree_world

NODES = ("n1", "n2", "n3")


def test_nodes_of_a_group_converge_through_its_sub_master(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await world.start("sm1")
            world.master.operations.apply(site("sm1"), "test")
            await until(lambda: world.converged(*NODES, "m1", "m2"), 20)
            assert world.owner() == "sm1"
            row = world.rows()["n1"]
            assert row["owner"] == "sm1" and row["phase"] == "converged"
            assert world.rows()["m1"]["owner"] == ""
            assert {agent.port for n, agent in world.agents.items() if n in NODES} == {
                world.ports["sm1"]
            }
            node = world.master.operations.node("n1")
            assert node["discovered"]["box.power"]["by"] == "bmc"
            assert node["configured"]["box.power"]["value"] == "on"
            assert [name for name, _ in world.machines.switched].count("n1") == 1

    asyncio.run(work())
