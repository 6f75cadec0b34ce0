"""Sub-masters on nodes: when one counts as heard or silent, how it is admitted, what its node does."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes import FakeIo
from kedge.core.duty import Duty
from kedge.core.kinds import Value
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules.submaster import admit, heard_of, module
from kedge.modules.submaster.watching import FRESH_S, SILENT_S, Hosts, watch
from kedge.site.model import Cluster, Site

SITE = Site(
    Cluster("t"),
    nodes={
        "s1": Configuration("s1", values={"submaster.serves": "sm1"}),
        "n1": Configuration("n1"),
    },
)


class Peers:
    """The sub-masters that a test wants to be heard."""

    def __init__(self) -> None:
        self.heard: set[tuple[str, str]] = set()
        self.admitted: list[str] = []

    def is_heard_on(self, submaster: str, node: str) -> bool:
        return (submaster, node) in self.heard

    def admit(self, submaster: str) -> Mapping[str, Value]:
        self.admitted.append(submaster)
        return {"name": submaster, "token": "secret"}


class World:
    """The master's door, with a node on which sm1 shall run."""

    def __init__(self) -> None:
        self.io: Any = FakeIo(SITE, modules=(module,))
        self.io.peers = self.peers = Peers()
        self.hosts = Hosts(self.io)
        self.stage("off")

    def stage(self, stage: str) -> None:
        self.io.observe("s1", {"boot.stage": stage})

    def look(self, now: float) -> Value:
        (node,) = self.hosts.now()
        return self.hosts.look(node, self.peers, now)


def test_only_a_sub_master_that_speaks_from_the_present_boot_counts() -> None:
    world = World()
    world.peers.heard.add(("sm1", "s1"))
    assert world.look(0.0) is None, "a node that does not run has none"
    world.stage("running")
    assert world.look(1.0) == "sm1"
    assert heard_of("sm1", "sm1") == "heard"
    assert heard_of("", "sm1") == heard_of("sm2", "sm1") == "silent"


def test_after_a_boot_it_is_admitted_soon_and_otherwise_late() -> None:
    world = World()
    world.look(0.0)
    world.stage("running")
    assert world.look(10.0) is None
    assert world.look(10.0 + FRESH_S - 1) is None
    assert world.look(10.0 + FRESH_S) == ""
    world.peers.heard.add(("sm1", "s1"))
    assert world.look(50.0) == "sm1"
    world.peers.heard.clear()  # a link is cut, perhaps
    assert world.look(60.0) is None
    assert world.look(60.0 + SILENT_S - 1) is None
    assert world.look(60.0 + SILENT_S) == ""


def test_a_master_that_begins_gives_running_ones_the_longer_time() -> None:
    world = World()
    world.stage("running")
    assert world.look(0.0) is None
    assert world.look(SILENT_S - 1) is None


def test_a_sub_master_looks_at_nothing() -> None:
    asyncio.run(asyncio.wait_for(watch(FakeIo(SITE, modules=(module,))), 5))


def test_its_node_gets_the_join_file_as_an_order() -> None:
    world = World()
    asyncio.run(admit(world.io.node("s1"), world.io))
    assert world.peers.admitted == ["sm1"]
    assert world.io.orders == [("s1", "submaster.admit", {"name": "sm1", "token": "secret"})]
    world.io.peers = None
    with pytest.raises(KedgeError, match="only the master"):
        asyncio.run(admit(world.io.node("s1"), world.io))


def carry_out(root: Path, code: int = 0) -> list[tuple[str, ...]]:
    """Run the duty as the agent would; the programs that it ran."""
    (duty,) = module.duties
    assert isinstance(duty, Duty) and not list(duty.problems())
    names: dict[str, Any] = {}
    exec(compile(duty.source, "duty", "exec"), names)
    ran: list[tuple[str, ...]] = []

    def run(*command: str, timeout_s: float = 30.0) -> tuple[int, str]:
        ran.append(command)
        return code, "no such unit\n"

    here = SimpleNamespace(root=root, run=run)
    names["carry_out"](here, "submaster.admit", {"name": "sm1", "token": "secret"})
    return ran


def test_the_duty_keeps_the_join_file_for_root_alone_and_starts_the_service(tmp_path: Path) -> None:
    join = tmp_path / "etc/kedge/submaster.join"
    for _ in range(2):  # asked again, it begins anew
        assert carry_out(tmp_path) == [("systemctl", "restart", "--no-block", "kedge.service")]
        assert json.loads(join.read_text()) == {"name": "sm1", "token": "secret"}
        assert stat.S_IMODE(join.stat().st_mode) == 0o600
    assert [path.name for path in join.parent.iterdir()] == ["submaster.join"]


def test_the_duty_says_why_the_service_did_not_start(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such unit"):
        carry_out(tmp_path, 5)
