"""The tree, with everything real but the machines: delegation, failing over, going on alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand
from kedge.master.assembly import Master
from small_master import events, until
from tree_world import LEASE_S, World, site, tree_world

NODES = ("n1", "n2", "n3")


def test_nodes_of_a_group_converge_through_its_sub_master(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await world.start("sm1")
            world.master.operations.apply(site("sm1"), "test")
            await until(lambda: world.converged(*NODES, "m1", "m2"), 20)
            assert world.owner() == "sm1"
            io = world.master.io  # a node in the middle of its boot may fetch on from here
            assert io.is_peer("10.77.1.1") and not io.is_peer("10.77.1.9")
            assert "n1" not in io.site.nodes and "m1" in io.site.nodes
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


def test_a_dead_sub_masters_group_passes_to_the_next_and_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await world.start("sm1")
            await world.start("sm2")
            world.master.operations.apply(site(), "test")
            await until(lambda: world.converged(*NODES), 20)
            epochs, term = world.epochs(), owner_term(world)
            assert world.owner() == "sm1"

            await world.kill("sm1")
            await until(lambda: "told before" in world.rows()["n1"]["why"], 20)
            row = world.rows()["n1"]
            assert row["phase"] == "waiting"  # nobody knows whether it still is as configured
            assert row["why"].startswith("sm1 is silent since ") and "submaster" in row["next"]
            why = world.master.operations.looks.why("n1")
            assert why["phase"] == "waiting" and why["why"].startswith("sm1 is silent since ")
            group = world.master.operations.about()["degraded"]["group g"]
            assert "sm2 is there, and takes it when the lease is over" in group
            await until(lambda: world.owner() == "sm2", 20)
            await until(lambda: world.converged(*NODES), 20)
            assert {world.agents[n].port for n in NODES} == {world.ports["sm2"]}
            assert owner_term(world) > term
            about = world.master.operations.about()
            assert "sm1 is silent" in about["degraded"]["sub-master sm1"]

            await world.start("sm1")
            await until(lambda: world.owner() == "sm1", 20)
            await until(lambda: world.converged(*NODES), 20)
            at = world.ports["sm1"]
            await until(lambda: {world.agents[n].port for n in NODES} == {at}, 20)
            await until(lambda: world.converged(*NODES), 20)
            assert not world.cycles() and world.epochs() == epochs
            owners = [e["after"] for e in events(world.master, "owner")]
            assert owners == ["sm1", "sm2", "sm1"]

    asyncio.run(work())


def test_without_a_master_a_sub_master_heals_and_destroys_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm1 = await world.start("sm1")
            world.master.operations.apply(site("sm1"), "test")
            await until(lambda: world.converged(*NODES), 20)
            epochs = world.epochs()
            await world.kill("master")
            await until(lambda: {"lease", "master"} <= {*sm1.operations.about()["degraded"]}, 20)
            assert "no master answers" in sm1.operations.about()["degraded"]["master"]

            world.machines.power["n1"] = "off"  # somebody pulled a plug: it boots again
            world.agents["n1"].stop()
            await until(lambda: world.epochs()["n1"] > epochs["n1"], 20)
            await until(lambda: row(sm1, "n1")["phase"] == "converged", 20)

            world.agents["n2"].stop()  # it hangs: that is healed when the lease is back
            await until(lambda: row(sm1, "n2")["symbols"]["box.stage"] == "stuck", 20)
            await until(lambda: "held: no master since 20" in row(sm1, "n2")["why"], 10)
            await world.kill("sm1")  # and it goes on after a restart, with what it has
            sm1 = await world.start("sm1")
            await until(lambda: row(sm1, "n3")["phase"] == "converged", 20)
            assert row(sm1, "n3")["owner"] == ""
            await asyncio.sleep(7)
            assert not world.cycles()

            await world.start("master")
            await until(lambda: ("n2", "off") in world.machines.switched, 20)
            await until(lambda: world.converged(*NODES), 30)
            assert world.cycles() == [("n2", "off")] and world.epochs()["n3"] == epochs["n3"]

    asyncio.run(work())


def test_a_cut_uplink_reboots_nothing_and_two_never_act(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm1 = await world.start("sm1")
            await world.start("sm2")
            world.master.operations.apply(site(), "test")
            await until(lambda: world.converged(*NODES), 20)
            epochs = world.epochs()
            world.cut_uplink("sm1")
            await until(lambda: world.owner() == "sm2", 20)
            assert "lease" in sm1.operations.about()["degraded"]
            await until(lambda: world.converged(*NODES), 20)
            await asyncio.sleep(8)  # sm2 hears no agent; what sm1 relayed last counts
            assert world.converged(*NODES)
            assert "as sm1 told, which is silent" in world.rows()["n1"]["why"]
            assert {world.agents[n].port for n in NODES} == {world.ports["sm1"]}
            world.mend_uplink("sm1")
            await until(lambda: world.owner() == "sm1", 20)
            await until(lambda: world.converged(*NODES), 20)
            assert not world.cycles() and world.epochs() == epochs

    asyncio.run(work())


def test_what_people_ask_for_reaches_the_owner_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm1 = await world.start("sm1")
            world.master.operations.apply(site("sm1"), "test")
            await until(lambda: world.converged(*NODES, "m1"), 20)
            operations = world.master.operations
            operations.hold("n1", "a fan", "alice")
            await until(lambda: world.rows()["n1"]["phase"] == "held", 10)
            operations.release("n1", "alice")
            await until(lambda: world.converged("n1"), 10)
            operations.set_values("n2", {"box.power": "off"}, "alice")
            await until(lambda: world.machines.power["n2"] == "off", 10)
            assert world.cycles() == [("n2", "off")]
            steps = [e for e in events(world.master, "step") if "n2" in expand(e["nodes"])]
            assert {e["subject"] for e in steps} >= {"box.switch_on", "box.load"}, "its owner's log"
            operations.retry("n3", "alice")
            await until(lambda: [e for e in events(sm1, "request") if e["subject"] == "retry"], 10)
            await asyncio.sleep(2)
            told = [e for e in events(world.master, "request") if e["cause"] == "alice"]
            assert [(e["nodes"], e["subject"]) for e in told] == [("n3", "retry")]
            await world.stop("master")
            await world.start("master")
            await until(lambda: world.converged("n3"), 20)
            assert len([e for e in events(sm1, "request") if e["subject"] == "retry"]) == 1
            assert [e for e in events(world.master, "request") if e["cause"] == "alice"] == told
            operations = world.master.operations
            with pytest.raises(KedgeError, match="sub-master"):
                sm1.operations.set_values("n2", {"box.power": "on"}, "bob")
            with pytest.raises(KedgeError, match="no sub-master 'sm9'"):
                operations.apply(site("sm9"), "bob")

    asyncio.run(work())


def two_groups(first: str, second: str) -> dict[str, str]:
    """``g`` of sm1 and ``h`` of sm2, and m2 of the master."""
    return {
        "site.yaml": f"""
cluster: {{ name: t, domain: t.example }}
networks: {{ provision: {{ cidr: 10.77.0.0/16, gateway: 10.77.0.1 }} }}
groups:
  g: {{ nodes: "{first}", parents: [sm1] }}
  h: {{ nodes: "{second}", parents: [sm2] }}
  own: {{ nodes: "m2" }}
nodes:
  "n[1-3]": {{ addresses: {{ provision: "10.77.1.{{number}}" }} }}
  "m[1-2]": {{ addresses: {{ provision: "10.77.2.{{number}}" }} }}
"""
    }


def test_a_node_goes_to_a_group_of_another_owner_without_a_boot(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm2 = await world.start("sm2")
            world.master.operations.apply(two_groups("n[1-3]", "m1"), "test")
            await until(lambda: world.owner("h") == "sm2", 20)
            sm1 = await world.start("sm1")  # its term is the greater one
            await until(lambda: world.converged(*NODES, "m1", "m2"), 20)
            epochs, now = world.epochs(), asyncio.get_running_loop().time
            moved_at = now()
            world.master.operations.apply(two_groups("n[1-2]", "m1,n3"), "test")
            told = [f"127.0.0.1:{world.ports['sm2']}"]
            agent = world.agents["n3"]
            await until(
                lambda: json.loads(agent.child.configured.get("parents", b"[]")) == told, 10
            )
            assert "n3" not in sm2.head.nodes, "sm1's lease may still hold"
            assert sm1.head.elsewhere(sm1.head.nodes["n3"].configuration)
            await until(lambda: "n3" in sm2.head.nodes, 20)
            assert now() - moved_at > LEASE_S and "n3" not in sm1.head.nodes
            await until(lambda: agent.port == world.ports["sm2"], 30)
            await until(lambda: world.converged(*NODES, "m1", "m2"), 20)
            assert not world.cycles() and world.epochs() == epochs
            world.master.operations.set_values("n3", {"box.power": "off"}, "alice")
            await until(lambda: world.cycles() == [("n3", "off")], 20)
            world.agents["n3"].stop()
            world.master.operations.set_values("n3", {"box.power": "on"}, "alice")
            await until(lambda: world.epochs()["n3"] > epochs["n3"], 20)
            await until(lambda: world.converged(*NODES, "m1"), 20)
            assert world.rows()["n3"]["owner"] == "sm2"

    asyncio.run(work())


def test_a_reload_is_passed_on_and_other_modules_are_shown(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm1 = await world.start("sm1")
            world.master.operations.apply(site("sm1"), "test")
            await until(lambda: world.converged(*NODES), 20)
            degraded = lambda: world.master.operations.about()["degraded"]  # noqa: E731
            assert "sub-master sm1: modules" not in degraded()

            world.master.head.graph.modules["box"].version = "2"
            await until(lambda: "sub-master sm1: modules" in degraded(), 20)
            assert "box 1 there, 2 here" in degraded()["sub-master sm1: modules"]
            sm1.head.graph.modules["box"].version = "2"
            told = await world.master.operations.modules.reload((), "alice")
            assert told["passed_on"] == ["sm1", "sm2"]
            await until(lambda: [e["cause"] for e in events(sm1, "modules")] == ["alice"], 20)
            await until(lambda: "sub-master sm1: modules" not in degraded(), 20)

    asyncio.run(work())


def test_the_master_goes_on_with_an_order_of_a_sub_master_that_died(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await world.start("sm1")
            world.master.operations.apply(site("sm1, master"), "test")
            await until(lambda: world.converged(*NODES), 20)
            world.master.operations.set_values("n[1-2]", {"box.job": "done"}, "alice")
            agents = [world.agents[n] for n in ("n1", "n2")]
            await until(lambda: all(agent.order() for agent in agents), 10)
            orders = [agent.order() for agent in agents]
            await until(lambda: world.told_orders("n1", "n2") == orders, 10)

            await world.kill("sm1")
            await until(lambda: world.owner() == "", 30)
            await until(lambda: plan(world.master, "n1")["running"] == ["box.work"], 20)
            await until(lambda: agents[0].port == world.ports["master"], 20)
            await asyncio.sleep(2)
            assert [agent.order() for agent in agents] == orders, "they were given anew"
            for agent in agents:
                agent.report(box__job="done")
            await until(lambda: world.converged(*NODES), 20)
            assert not world.cycles()

    asyncio.run(work())


def test_an_order_outlives_its_owner_and_answers_the_next(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await world.start("sm1")
            sm2 = await world.start("sm2")
            world.master.operations.apply(site(), "test")
            await until(lambda: world.converged(*NODES), 20)
            world.master.operations.set_values("n[1-2]", {"box.job": "done"}, "alice")
            agents = [world.agents[n] for n in ("n1", "n2")]
            await until(lambda: all(agent.order() for agent in agents), 10)
            orders = [agent.order() for agent in agents]
            await until(lambda: world.told_orders("n1", "n2") == orders, 10)
            assert plan(world.master, "n1")["running"] == ["box.work"]

            await world.kill("sm1")  # in the middle of both
            await until(lambda: world.owner() == "sm2", 20)
            await until(lambda: plan(sm2, "n1")["running"] == ["box.work"], 20)
            await until(lambda: agents[0].port == world.ports["sm2"], 20)
            await asyncio.sleep(2)
            assert [agent.order() for agent in agents] == orders, "they were given anew"

            agents[0].report(box__job="done")
            await until(lambda: world.converged("n1"), 10)
            failed = {"id": orders[1]["id"], "status": "failed", "error": {"what": "no room"}}
            agents[1].report(**{"order/box.work": failed})
            await until(lambda: "no room" in str(row(sm2, "n2")), 10)
            await until(lambda: agents[1].order() not in ({}, orders[1]), 30)  # tried again
            agents[1].report(box__job="done")
            await until(lambda: world.converged(*NODES), 20)
            assert not world.cycles()

    asyncio.run(work())


def test_a_budget_is_shared_and_the_ledger_outlives_the_master(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm1 = await world.start("sm1")
            more = "budgets: { box.switch_on: { cluster: 4 }, out_of_service: { cluster: 2 } }\n"
            world.master.operations.apply(site("sm1, sm2", more), "test")
            await until(lambda: world.converged(*NODES, "m1", "m2"), 20)

            def share(master: Master, budget: str) -> int:
                rows = {row["budget"]: row for row in master.operations.looks.budgets()}
                assert rows[budget]["limit"] == {"box.switch_on": 4, "out_of_service": 2}[budget]
                return rows[budget]["share"]

            both = "box.switch_on", "out_of_service"
            await until(lambda: share(sm1, "box.switch_on") >= 1, 10)
            for budget in both:
                assert share(world.master, budget) + share(sm1, budget) <= 4 - 2 * (
                    budget == both[1]
                )
            held = world.master.store.records("share")["box.switch_on cluster"]["sm1"]
            await world.stop("master")
            await world.start("master")
            again = world.master.store.records("share")["box.switch_on cluster"]["sm1"]
            assert again == held and held[0] >= 1
            await until(lambda: share(world.master, "box.switch_on") >= 1, 20)
            assert share(world.master, "box.switch_on") + share(sm1, "box.switch_on") <= 4

            store, degraded = (
                world.master.store,
                lambda: world.master.operations.about()["degraded"],
            )
            put, full = store.put, Full(store.put)
            store.put = full  # type: ignore[method-assign]
            world.master.operations.apply(site("sm1, sm2", more.replace("4", "9")), "test")
            await until(lambda: "shares of budgets" in degraded(), 20)
            store.put = put  # type: ignore[method-assign]
            await until(lambda: "shares of budgets" not in degraded(), 20)
            said = [e["after"] for e in events(world.master, "shares")]
            assert said == ["not written", "written"]

    asyncio.run(work())


def test_a_group_whose_first_parent_never_came_is_the_masters_where_it_is_one_too(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            world.master.operations.apply(site("sm1, master"), "test")
            await until(lambda: world.converged(*NODES), 20)
            assert world.owner() == "" and not world.cycles()

    asyncio.run(work())


class Full:
    """A disk that has no room for shares."""

    def __init__(self, put: Any) -> None:
        self._put = put

    def __call__(self, kind: str, key: str, record: Any) -> None:
        if kind == "share":
            raise KedgeError("store.failed", "the cluster database cannot be written")
        self._put(kind, key, record)


def plan(master: Master, node: str) -> dict[str, Any]:
    (found,) = master.operations.plan(node)
    return found


def row(master: Master, node: str) -> dict[str, Any]:
    (found,) = master.operations.status(node)
    return found


def owner_term(world: World) -> int:
    return int(world.master.store.records("group_owner")["g"]["term"])
