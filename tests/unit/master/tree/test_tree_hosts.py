"""Sub-masters that run on nodes: what a site may say of them, and what follows at the master."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedge.core.lease import MASTER
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.master.engine.nodes import NodeState
from kedge.master.tree.master.hosting import Hosting
from kedge.master.tree.master.hosts import hosts_of
from kedge.site.model import Cluster, Group, Site
from small_master import until
from tree_world import site, tree_world


def of(serves: dict[str, str], parents: tuple[str, ...] = ()) -> Site:
    values = {node: {"submaster.serves": name} for node, name in serves.items()}
    nodes = {n: Configuration(n, group="g", values=values[n]) for n in serves}
    return Site(Cluster("t"), groups={"g": Group("g", tuple(serves), parents=parents)}, nodes=nodes)


def test_the_site_says_which_nodes_they_run_on() -> None:
    assert hosts_of(of({"s1": "sm1", "s2": "sm2"})) == {"sm1": "s1", "sm2": "s2"}
    assert hosts_of(of({"s1": "sm1"}, (MASTER,))) == {"sm1": "s1"}


@pytest.mark.parametrize(
    ("site", "said"),
    [
        (of({"s1": "sm1", "s2": "sm1"}), "cannot run on s1 and on s2"),
        (of({"s1": "sm1"}, ("sm2",)), "is below other sub-masters"),
        (of({"s1": "sm1"}, ("sm1", MASTER)), "is below other sub-masters"),
        (of({"s1": "s1"}), "cannot name a sub-master"),
        (of({"s1": MASTER}), "cannot name a sub-master"),
    ],
)
def test_what_cannot_be_is_refused(site: Site, said: str) -> None:
    with pytest.raises(KedgeError, match=said):
        hosts_of(site)


def test_it_is_heard_on_a_node_when_it_speaks_from_the_boot_that_the_agent_speaks_from() -> None:
    node = NodeState(Configuration("s1"), {})
    known = SimpleNamespace(attached=True, health={"boot_id": "b1"})
    head: Any = SimpleNamespace(nodes={"s1": node})
    submasters: Any = SimpleNamespace(known={"sm1": known})
    hosting = Hosting(head, submasters, list)
    assert not hosting.is_heard_on("sm1", "s1"), "the agent has not said which boot this is"
    node.facts["facts"] = {"boot_id": "b1"}
    assert hosting.is_heard_on("sm1", "s1")
    node.facts["facts"] = {"boot_id": "b2"}  # its last boot is told of, not this one
    assert not hosting.is_heard_on("sm1", "s1")
    known.health = {"boot_id": "b2"}
    assert hosting.is_heard_on("sm1", "s1")
    known.attached = False
    assert not hosting.is_heard_on("sm1", "s1")
    assert not hosting.is_heard_on("sm2", "s1") and not hosting.is_heard_on("sm1", "s2")


def test_one_that_the_site_names_needs_no_adding_and_is_not_removed(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            master, tree = world.master, world.master.operations.tree
            with pytest.raises(KedgeError, match="no sub-master 'sm9'"):
                master.operations.apply(site("sm9"), "test")
            tree._tree.submasters.expect(["sm9"])
            master.operations.apply(site("sm9"), "test")
            await until(lambda: "sm9" in {row["name"] for row in tree.list()})
            told = master.io.peers.admit("sm9")
            assert told["masters"] == [f"127.0.0.1:{world.ports['master']}"]
            assert told["name"] == "sm9" and told["token"]

    asyncio.run(work())
