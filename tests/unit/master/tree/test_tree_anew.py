"""A sub-master on another machine, or one without a disk that was booted again: it remembers nothing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kedge.master.tree.master.relayed import Relayed
from kedge.sync.difference import Stamp
from kedge.sync.wire import Epoch
from small_master import events, until
from tree_world import LEASE_S, World, free_port, site, tree_world

NODES = ("n1", "n2", "n3")


def test_a_sub_master_that_remembers_nothing_joins_anew_and_serves(tmp_path: Path) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await world.start("sm1")
            world.master.operations.apply(site("sm1"), "test")
            await until(lambda: world.converged(*NODES), 20)
            term, epochs = term_of(world), world.epochs()
            await asyncio.sleep(LEASE_S)  # its renewals have gone far beyond the first

            await world.stop("sm1")
            shutil.rmtree(tmp_path / "sm1")
            world.add("sm1")
            sm1 = await world.start("sm1")
            tenure = sm1.operations.tree._branch.tenure
            await until(lambda: tenure.owned, 20)
            assert tenure.owned["g"] == term_of(world) > term
            await until(lambda: tenure.may_destroy("g", sm1.head.clock.now()), 20)
            await until(lambda: world.converged(*NODES), 20)
            assert world.epochs() == epochs and not world.cycles()

            world.machines.power["n1"] = "off"  # what it boots from now on is of a later boot
            world.agents["n1"].stop()
            await until(lambda: world.epochs()["n1"] > epochs["n1"], 20)
            await until(lambda: world.converged(*NODES), 20)
            booted = lambda: [e for e in events(world.master, "step") if e["node"] == "n1"]  # noqa: E731
            await until(lambda: len([e for e in booted() if e["subject"] == "box.load"]) >= 2, 20)

    asyncio.run(work())


def test_a_new_process_of_a_name_gets_nothing_before_the_former_ones_lease_is_over(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with tree_world(tmp_path) as world:
            await world.start("sm1")
            world.master.operations.apply(site("sm1"), "test")
            await until(lambda: world.converged(*NODES), 20)
            former = world.up["sm1"].operations.tree._branch.tenure
            world.add("sm1")
            world.ports["another"], world.ports["sm1"] = world.ports["sm1"], free_port()
            other = await world.start_as("sm1", "elsewhere")
            tenure = other.operations.tree._branch.tenure
            now = other.head.clock.now
            overlapped: list[bool] = []

            def given() -> bool:
                overlapped.append(former.may_destroy("g", now()) and tenure.may_destroy("g", now()))
                return tenure.may_destroy("g", now())

            await until(given, 30)
            assert not any(overlapped)
            owners = [e["after"] for e in events(world.master, "owner")]
            assert owners == ["sm1", "nobody", "sm1"]

    asyncio.run(work())


def report(version: int, *, attached: bool = True) -> dict[str, object]:
    return {"epoch": [3, 1], "version": version, "attached": attached, "entries": {}}


def test_what_the_former_process_told_counts_until_somebody_hears_the_agent_or_it_is_given_up() -> (
    None
):
    nothing = Stamp(Epoch(0, 0), 0)
    unheard: Any = SimpleNamespace(held=lambda _: (nothing, {}), is_attached=lambda _: False)
    head: Any = SimpleNamespace()
    relayed = Relayed(head, SimpleNamespace(parent=unheard))  # type: ignore[arg-type]
    there = {"sm1", "sm2"}.__contains__
    for node in NODES:
        relayed.report(node, "sm1", report(7))
    relayed.succeeded("sm1")
    by, told = relayed.best("n1", there) or ("", None)
    assert by == "the former sm1" and told is not None and told.attached
    relayed.report("n1", "sm2", report(7))  # its agent has come to another parent
    relayed.report("n2", "sm1", report(8))  # and this one to the new process
    assert (relayed.best("n1", there) or ("",))[0] == "sm2"
    assert (relayed.best("n2", there) or ("",))[0] == "sm1"
    assert sorted(relayed.give_up("sm1")) == [*NODES]
    assert (relayed.best("n1", there) or ("",))[0] == "sm2"
    assert (relayed.best("n2", there) or ("",))[0] == "sm1"
    by, told = relayed.best("n3", there) or ("", None)
    assert by == "sm1" and told is not None and not told.attached, "nobody hears it"


def term_of(world: World) -> int:
    return int(world.master.store.records("group_owner")["g"]["term"])
