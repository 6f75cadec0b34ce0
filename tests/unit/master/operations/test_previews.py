"""Dry runs say what then happens: who moves, who is held, how long it takes; and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kedge.lib.errors import KedgeError
from small_master import FILES, calm, converged, small_master, until

TWO = '{ g: { nodes: "n[1-2]" }, h: { nodes: "n[3-4]" } }'
GROUPS = FILES["site.yaml"].replace('{ g: { nodes: "n[1-4]" } }', TWO)


def moves(preview: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [
        (row["nodes"], [step["mutation"] for step in row["steps"]])
        for row in preview["prospect"]["moving"]
    ]


async def test_what_is_foreseen_of_a_site_is_what_then_happens(tmp_path: Path) -> None:
    async with small_master(tmp_path, calm()) as master:
        operations = master.operations
        await until(lambda: converged(master))
        text = FILES["site.yaml"].replace("n[1-4]", "n[1-6]") + "budgets: { calm.*: 1 }\n"
        found = operations.previews.files({"site.yaml": text})
        assert moves(found) == [("n[5-6]", ["calm.turn_on"])]
        prospect = found["prospect"]
        assert prospect["duration_s"] == 2 and prospect["moving_count"] == 2
        (leg,) = prospect["critical"]
        assert (leg["budget"], leg["pool"], leg["limit"]) == ("calm.*", "cluster", 1)
        assert leg["nodes"] == "n[5-6]"
        assert list(master.head.nodes) == ["n1", "n2", "n3", "n4"]
        operations.apply({"site.yaml": text}, "test")
        await until(lambda: len(master.head.nodes) == 6 and converged(master))


async def test_held_nodes_are_told_apart_and_a_release_is_foreseen(tmp_path: Path) -> None:
    async with small_master(tmp_path, calm()) as master:
        operations = master.operations
        await until(lambda: converged(master))
        operations.hold("", "fan", "alice", group="g")
        before = master.wishes.intent.revision
        found = operations.previews.values("n[1-4]", {"calm.switch": "off"})
        (held,) = found["prospect"]["held"]
        assert (held["nodes"], held["why"]) == ("n[1-4]", "fan")
        freed = operations.previews.release("", group="g")
        assert not freed["prospect"]["held"] and freed["prospect"]["still"][0]["count"] == 4
        assert master.wishes.intent.revision == before
        assert master.head.nodes["n1"].configuration.hold == "fan"


async def test_where_nothing_leads_the_obstacle_is_named(tmp_path: Path) -> None:
    async with small_master(tmp_path, calm()) as master:
        await until(lambda: converged(master))
        found = master.operations.previews.values("n2", {"calm.switch": "off"})
        (blocked,) = found["prospect"]["blocked"]
        assert blocked["nodes"] == "n2" and "calm.switch=off" in blocked["why"]
        assert found["prospect"]["moving"] == [] and found["changes"]


async def test_holds_of_groups_and_all_reach_new_nodes_and_outlive_a_restart(
    tmp_path: Path,
) -> None:
    def holds(master: Any) -> dict[str, str]:
        return {row["node"]: row["hold"] for row in master.operations.status()}

    def nexts(master: Any) -> dict[str, str]:
        return {row["node"]: row["next"] for row in master.operations.status()}

    async with small_master(tmp_path, calm()) as master:
        operations = master.operations
        operations.apply({"site.yaml": GROUPS}, "test")
        operations.hold("", "cooling", "alice", group="h")
        operations.hold("n4", "fan", "bob")
        assert holds(master) == {"n1": "", "n2": "", "n3": "cooling", "n4": "fan"}
        assert nexts(master)["n3"] == "kedge node release --group h"
        origin = operations.node("n3")["configured"]["hold"]["origin"]
        assert origin.startswith("group h, set by alice")
        more = GROUPS.replace("n[3-4]", "n[3-5]").replace("n[1-4]", "n[1-5]")
        operations.apply({"site.yaml": more}, "test")
        assert holds(master)["n5"] == "cooling"
        operations.hold("", "power cut", "carol", cluster=True)
    async with small_master(tmp_path, calm(), again=True) as master:
        operations = master.operations
        assert holds(master)["n1"] == "power cut" and holds(master)["n3"] == "cooling"
        assert nexts(master)["n1"] == "kedge node release --all"
        left = operations.release("", "carol", cluster=True)
        assert left["still_held"] == "n[3-5]"
        assert [each["next"] for each in left["held_by"]] == [
            "kedge node release --group h", "kedge node release n4",
        ]  # fmt: skip
        left = operations.release("n4", "bob")
        assert (left["still_held"], holds(master)["n4"]) == ("n4", "cooling")
        assert operations.release("", "alice", group="h")["still_held"] == ""
        await until(lambda: converged(master))


async def test_a_hold_names_one_thing(tmp_path: Path) -> None:
    async with small_master(tmp_path, calm()) as master:
        with pytest.raises(KedgeError, match="name nodes, or one group, or all"):
            master.operations.hold("n1", "why", "alice", group="g")
        with pytest.raises(KedgeError, match="no such group"):
            master.operations.hold("", "why", "alice", group="gg")
