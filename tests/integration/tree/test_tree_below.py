"""A sub-master below a sub-master: master, sm1, sm2 below it, and the agents of sm2's nodes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand
from kedge.master.agents.link import peer_of
from small_master import events, until
from tree_world import LEASE_S, World, site, tree_world

NODES = ("n1", "n2", "n3")


async def begun(world: World, parents: str = "sm2") -> None:
    """sm2 is below sm1, and its nodes are up."""
    await world.start("sm1")
    world.master.operations.apply(site(parents), "test")
    await until(lambda: found_at(world, "sm1"), 10)
    world.add("sm2", below="sm1")
    await world.start("sm2")
    await until(lambda: world.owner() == "sm2" and world.converged(*NODES), 30)


def found_at(world: World, name: str) -> bool:
    """Whether the master knows where those below ``name`` find it."""
    return str(row(world, name)["address"]).endswith(f":{world.ports[name]}")


def row(world: World, name: str) -> dict[str, Any]:
    return next(each for each in world.master.operations.tree.list() if each["name"] == name)


def test_nodes_converge_two_sub_masters_deep(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await begun(world)
            assert {world.agents[n].port for n in NODES} == {world.ports["sm2"]}
            assert row(world, "sm2")["below"] == "sm1" and row(world, "sm2")["state"] == "there"
            assert not world.master.link.parent.is_attached(peer_of("sm2"))
            assert world.up["sm2"].operations.tree._uplink.parent.endswith(str(world.ports["sm1"]))
            operations = world.master.operations
            assert operations.node("n1")["discovered"]["box.power"]["by"] == "bmc"
            operations.hold("n1", "a fan", "alice")  # what a person says comes down
            await until(lambda: world.rows()["n1"]["phase"] == "held", 10)
            operations.release("n1", "alice")
            await until(lambda: world.converged("n1"), 10)
            operations.set_values("n2", {"box.power": "off"}, "alice")
            await until(lambda: world.machines.power["n2"] == "off", 10)
            assert world.cycles() == [("n2", "off")]
            steps = [e for e in events(world.master, "step") if "n2" in expand(e["nodes"])]
            assert {e["subject"] for e in steps} >= {"box.switch_on", "box.load"}, "its owner's log"
            added = [e for e in events(world.master, "submaster") if e["cause"] == "below sm1"]
            assert (added[0]["subject"], added[0]["after"]) == ("sm2", "added")

    asyncio.run(work())


def test_the_one_between_dies_and_comes_back_without_a_master(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world, one_at_a_time(world):
            await begun(world)
            sm2, epochs = world.up["sm2"], world.epochs()
            await world.kill("sm1")
            await until(lambda: "sm2 is below sm1: sm1 is silent" in row(world, "sm2")["why"], 20)
            await until(lambda: {"lease", "master"} <= {*sm2.operations.about()["degraded"]}, 20)
            assert world.owner() == "sm2"  # there is nobody else

            world.machines.power["n1"] = "off"  # somebody pulled a plug: it boots again
            world.agents["n1"].stop()
            await until(lambda: world.epochs()["n1"] > epochs["n1"], 20)
            epochs = world.epochs()

            await world.kill("master")
            sm1 = await world.start("sm1")  # it goes on from what it kept, also for sm2
            await until(lambda: sm2.operations.tree._uplink.parent != "", 20)
            await asyncio.sleep(LEASE_S)
            assert sm2.operations.tree.owner("g") == "" and sm1.operations.tree.owner("own") != ""
            assert (
                "lease" in sm2.operations.about()["degraded"]
            )  # an answer that was kept is no lease
            assert "master" in sm1.operations.about()["degraded"]

            await world.start("master")
            await until(lambda: "lease" not in sm2.operations.about()["degraded"], 20)
            await until(lambda: world.converged(*NODES), 30)
            assert world.owner() == "sm2" and not world.cycles() and world.epochs() == epochs

    asyncio.run(work())


def test_a_group_passes_on_when_the_uplink_of_the_one_between_is_cut(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world, one_at_a_time(world):
            world.add("sm3")
            await world.start("sm3")
            await begun(world, "sm2, sm3")
            sm2, epochs = world.up["sm2"], world.epochs()
            world.cut_uplink("sm1")
            await until(lambda: "lease" in sm2.operations.about()["degraded"], 30)
            await until(lambda: world.owner() == "sm3", 30)
            await until(lambda: world.converged(*NODES), 20)
            await asyncio.sleep(4)
            assert world.converged(*NODES) and row(world, "sm2")["state"] == "silent"
            world.mend_uplink("sm1")
            await until(lambda: world.owner() == "sm2", 30)
            await until(lambda: world.converged(*NODES), 20)
            assert not world.cycles() and world.epochs() == epochs

    asyncio.run(work())


def test_a_process_that_remembers_nothing_joins_below_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world, one_at_a_time(world):
            await begun(world)
            epochs, term = world.epochs(), owner_term(world)
            key = world.up["sm1"].link.keys[peer_of("sm2")]
            await world.kill("sm2")
            world.add("sm2")  # where it was: below sm1
            assert json.loads((tmp_path / "sm2.join").read_text())["masters"] == [
                f"127.0.0.1:{world.ports['sm1']}"
            ]
            await world.start_as("sm2", "other machine")
            await until(lambda: owner_term(world) > term, 30)
            await until(lambda: world.owner() == "sm2" and world.converged(*NODES), 30)
            assert world.up["sm1"].link.keys[peer_of("sm2")] > key
            anew = [e for e in events(world.master, "owner") if "joined anew" in e["cause"]]
            assert len(anew) == 1 and not world.cycles() and world.epochs() == epochs

            await world.kill("sm1")  # so does the one between; sm2 goes on with its key
            world.add("sm1")
            await world.start_as("sm1", "other sm1")
            await until(lambda: row(world, "sm2")["state"] == "there", 30)
            await until(lambda: world.converged(*NODES), 30)
            assert world.owner() == "sm2" and not world.cycles() and world.epochs() == epochs

    asyncio.run(work())


def test_an_agent_that_comes_to_the_one_between_is_heard_by_its_owner(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world, one_at_a_time(world):
            await begun(world, "sm2, sm1")
            epochs = world.epochs()
            agent = world.agents["n1"]
            agent.cut.add(world.ports["sm2"])
            await until(lambda: agent.port == world.ports["sm1"], 20)
            await until(lambda: world.converged(*NODES), 20)
            world.master.operations.set_values("n1", {"box.job": "done"}, "alice")
            await until(lambda: bool(agent.order()), 20)  # what sm2 wrote goes up, and down to sm1
            agent.report(box__job="done")
            await until(lambda: world.rows()["n1"]["symbols"]["box.job"] == "done", 20)
            await until(lambda: world.converged(*NODES), 20)
            assert not world.cycles() and world.epochs() == epochs

    asyncio.run(work())


def test_three_deep_and_who_may_be_where(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world, one_at_a_time(world):
            await begun(world)
            await until(lambda: found_at(world, "sm2"), 20)
            world.add("sm3", below="sm2")
            await world.start("sm3")
            world.master.operations.apply(site("sm3"), "test")
            await until(lambda: world.owner() == "sm3", 30)
            await until(lambda: world.converged(*NODES), 30)
            assert not world.cycles()
            tree = world.master.operations.tree
            with pytest.raises(KedgeError, match="sm3 is below sm1"):
                tree.add("sm1", "sm3")
            with pytest.raises(KedgeError, match="below itself"):
                tree.add("sm1", "sm1")
            with pytest.raises(KedgeError, match="no sub-master 'sm9'"):
                tree.add("sm4", "sm9")
            tree.add("sm4", "sm3")
            with pytest.raises(KedgeError, match="5 sub-masters deep"):
                tree.add("sm5", "sm4")
            with pytest.raises(KedgeError, match="sm4 is below sm3"):
                tree.remove("sm3")
            tree.remove("sm4")
            await until(lambda: peer_of("sm4") not in admitted(world, "sm3"), 10)
            assert "sm5" not in [each["name"] for each in tree.list()]

    asyncio.run(work())


def admitted(world: World, name: str) -> list[str]:
    """The sub-masters that may join at one."""
    return [peer_of(n) for n in world.up[name].operations.tree._branch.below._down.listed]


def owner_term(world: World) -> int:
    owned = world.master.operations.tree._tree.ownership.arbiter.owner("g")
    return owned.term if owned is not None else 0


@asynccontextmanager
async def one_at_a_time(world: World) -> AsyncGenerator[None]:
    """All the while no two processes may begin a destructive step on a node."""
    two: list[list[str]] = []

    async def look() -> None:
        while True:
            may = [
                place
                for place, process in world.up.items()
                if place != "master"
                and "n1" in process.head.nodes
                and not process.head.elsewhere(process.head.nodes["n1"].configuration)
                and not process.head.forbids("n1")
            ]
            if len(may) > 1:
                two.append(may)
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
    assert not two
