"""Which nodes health takes out of service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from fakes import FakeIo
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import Cluster, Driver, Seen
from kedge.modules.scheduler.keeping import Row, keep, reason_of
from kedge.modules.scheduler.reading import Reading
from kedge.modules.scheduler.watching import Watch
from kedge.site.model import Cluster as SiteCluster
from kedge.site.model import Site

FAILED: Any = [{"check": "disks", "why": "sda says that it's failing", "back": "automatic"}]
BY_HAND: Any = [{"check": "disks", "why": "sda", "back": "by_hand"}]


def row(node: str, state: str = "in_service", **changes: Any) -> Row:
    told = {"group": "g", "drained_by": "", "reason": "", "verdict": "fail", "failed": FAILED}
    return Row(node=node, state=state, **{**told, **changes})


def test_a_failure_drains_and_says_why() -> None:
    kept = keep([row("n1"), row("n2", verdict="pass"), row("n3", verdict="")], 50)
    assert kept.drain == {"kedge: health: disks: sda says that it s failing": ["n1"]}
    assert reason_of(BY_HAND) == "kedge: by hand: health: disks: sda"
    assert len(reason_of([{"check": "x", "why": "y" * 5000}])) == 200


def test_a_check_that_fails_everywhere_does_not_stop_the_cluster() -> None:
    rows = [row(f"n{number:02}") for number in range(40)]
    kept = keep(rows, 10)
    assert [len(names) for names in kept.drain.values()] == [4]
    assert len(kept.spared["g"]) == 36
    out = [
        row(f"n{number:02}", "drained", drained_by="kedge", reason=reason_of(FAILED))
        for number in range(4)
    ]
    assert keep([*out, *rows[4:]], 10).drain == {}, "those that are out already count"


def test_a_group_of_one_may_lose_it() -> None:
    assert keep([row("n1")], 1).drain


def test_only_reasons_of_kedge_change() -> None:
    rows = [
        row("n1", "drained", drained_by="kedge", reason="kedge: release B"),
        row("n2", "drained", drained_by="person", reason="mine"),
        row("n3", "drained", drained_by="kedge", reason="kedge: by hand: health: memory"),
        row("n4", "drained", drained_by="kedge", reason=reason_of(FAILED)),
        row("n5", ""),
    ]
    assert keep(rows, 10).drain == {reason_of(FAILED): ["n1"]}


class ToldDriver:
    """A scheduler that only hears what it is told; all its nodes are in service."""

    def __init__(self, *names: str) -> None:
        self.names, self.drained = names, list[str]()

    def read(self) -> Cluster:
        return Cluster({name: Seen("in_service") for name in self.names})

    def drain(self, nodes: Sequence[str], reason: str) -> None:
        self.drained += nodes


async def test_nodes_that_others_act_on_are_neither_drained_nor_spoken_of() -> None:
    names = [f"n{number}" for number in range(1, 21)]
    wanted = {"scheduler.state": "in_service", "scheduler.policy": {"kind": "jobs"}}
    site = Site(SiteCluster("c"), nodes={n: Configuration(n, values=wanted) for n in names})
    async with FakeIo(site) as io:
        for name in ("n1", "n2"):
            io.observe(name, {"health.verdict": "fail", "health.failed": []}, by="agent")
        others = {name: node for name, node in site.nodes.items() if name != "n1"}
        io._site = replace(site, nodes=others)  # pyright: ignore[reportPrivateUsage]
        io.observations.clear()
        driver = ToldDriver(*names)
        watch: Any = Watch(io)
        watch._driver, watch._share = cast("Driver", driver), 100
        await watch._reading.again(driver, 10.0)
        watch._show()
        await watch._keep()
        assert driver.drained == ["n2"]
        assert {node for node, _, _ in io.observations} == {*names} - {"n1"}


async def test_a_scheduler_that_cannot_be_read_is_told_until_it_can() -> None:
    class Silent(ToldDriver):
        silent = True

        def read(self) -> Any:
            if self.silent:
                raise KedgeError("scheduler.silent", "slurmctld does not answer")
            return super().read()

    async with FakeIo(Site(SiteCluster("c"))) as io:
        driver, reading = Silent(), Reading(io)
        await reading.again(cast("Driver", driver), 10.0)
        assert "slurmctld does not answer" in io.degradations["scheduler"]
        driver.silent = False
        await reading.again(cast("Driver", driver), 10.0)
        assert io.degradations["scheduler"] == ""
