"""An agent that went to another parent is not silent, whatever the session looks like that it left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kedge.master.agents import neighbours
from kedge.master.agents.link import Link
from kedge.master.tree import heard
from kedge.master.tree.heard import Heard, Report
from kedge.sync.difference import Stamp
from kedge.sync.digest import Entry
from kedge.sync.wire import Epoch
from small_master import events, until
from tree_world import World, site, tree_world

NODES = ("n1", "n2", "n3")
BOOT = Epoch(2, 1)


class Here:
    """A link at which the agent of n1 has said something."""

    def __init__(self, version: int) -> None:
        self.parent, self.ended = self, dict[str, Epoch]()
        self.version, self.attached = version, True

    def held(self, node: str) -> tuple[Stamp, dict[str, Entry]]:
        return Stamp(BOOT, self.version), {"stage": Entry(b"here", self.version)}

    def is_attached(self, node: str) -> bool:
        return self.attached

    def epoch(self, node: str) -> Epoch:
        return BOOT


class Told:
    """Stands for the head: what is known of n1 last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage: bytes | None = b"here"

        def take_in(head: Any, node: str, changes: Any) -> None:
            self.stage = changes["stage"]

        monkeypatch.setattr(heard, "take_in", take_in)

    def forget_reports(self, node: str, by: str, *, what: str, why: str) -> None:
        self.stage = None


def relayed(version: int, *, attached: bool = True) -> dict[str, object]:
    return Report(BOOT, version, attached, {"stage": b"there"}).as_entry()


def world(monkeypatch: pytest.MonkeyPatch, version: int) -> tuple[Here, Told, Heard]:
    here, told = Here(version), Told(monkeypatch)
    link: Link = here  # type: ignore[assignment]
    return here, told, Heard(told, link)  # type: ignore[arg-type]


def test_what_was_said_later_elsewhere_counts_though_the_agent_seems_to_be_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, told, ears = world(monkeypatch, 6)
    ears.take("n1", relayed(10))
    assert told.stage == b"there" and "n1" in ears.elsewhere
    here.attached = False  # and that it is missed here afterwards changes nothing
    ears.again("n1")
    assert told.stage == b"there"


@pytest.mark.parametrize("version", [6, 7])
def test_what_was_said_here_too_counts_once_the_agent_is_missed_here(
    monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    here, told, ears = world(monkeypatch, version)
    ears.take("n1", relayed(6))
    assert told.stage == b"here" and "n1" not in ears.elsewhere
    here.attached = False
    told.stage = None  # nothing was heard for too long
    ears.again("n1")
    assert (told.stage == b"there") == (version == 6), "of two reports the later one counts"


def test_an_agent_that_no_parent_hears_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    here, told, ears = world(monkeypatch, 6)
    ears.take("n1", relayed(6))
    here.attached = False
    ears.take("n1", relayed(6, attached=False))
    assert told.stage is None and "n1" not in ears.elsewhere
    told.stage = b"unknown"
    ears.again("n1")
    assert told.stage == b"unknown"


def test_an_agent_that_said_good_bye_and_went_elsewhere_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "FAREWELL_LASTS_S", 4.0)

    async def work() -> None:
        async with tree_world(tmp_path) as world:
            sm1 = await world.start("sm1")
            await world.start("sm2")
            world.master.operations.apply(site(), "test")
            await until(lambda: world.owner() == "sm1" and world.converged(*NODES), 20)
            leave(world, "n1")
            await until(lambda: world.agents["n1"].port == world.ports["sm2"], 10)
            await until(lambda: "n1" in sm1.head.nodes and bool(relays(sm1)), 10)
            await asyncio.sleep(6)
            assert world.converged(*NODES) and not world.cycles()
            assert not [e for e in events(sm1, "agent") if "n1" in e["nodes"] and silent(e)]

    asyncio.run(work())


def leave(world: World, node: str) -> None:
    """The agent goes to sm2 with a good-bye, and does not come back."""
    child = world.agents[node].child
    child.set_parents([("127.0.0.1", world.ports["sm2"])])
    world.agents[node].pump()
    child.set_parents = lambda parents: None  # type: ignore[method-assign]


def relays(master: Any) -> list[Any]:
    return [e for e in events(master, "agent") if e["subject"] == "relayed"]


def silent(event: Any) -> bool:
    return event["subject"] == "silent"
