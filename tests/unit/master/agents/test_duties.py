"""Duties at the head: what goes down to the nodes, and which reports are believed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from kedge.core.kinds import Enum, Text
from kedge.core.module import Module
from kedge.master.agents.reports import decoded, take_in
from kedge.modules.image.store import collect_blobs, named_blobs
from small_master import calm, events, small_master, until

SOURCE = """
def observe(here):
    return {"tune.governor": "slow"}

def carry_out(here, mutation, args):
    pass
"""


def tune(source: str = SOURCE) -> Module:
    module = Module("tune", summary="Tunes nodes")
    governor = module.variable("governor", Enum(("slow", "fast")), configured=True, default="fast")
    module.variable("profile", Text(), configured=True)
    speed_up = module.edge(
        "speed_up", {governor: "fast"}, where="node", requires={governor: "slow"}, timeout_s=30
    )
    module.duty("look", source, reports=[governor], carries_out=[speed_up], every_s=60, timeout_s=7)
    return module


def told(master: Any, node: str, name: str) -> Any:
    return json.loads(master.link._records[node][name])


async def test_a_duty_goes_down_by_digest_and_its_file_is_among_the_blobs(tmp_path: Path) -> None:
    async with small_master(tmp_path, tune()) as master:
        master.operations.set_values("n1", {"tune.profile": "hpc"}, "test")
        entry = told(master, "n1", "duty/tune.look")
        digest = hashlib.sha256(SOURCE.encode()).hexdigest()
        assert entry["digest"] == f"sha256:{digest}"
        assert (tmp_path / "blobs/sha256" / digest).read_text() == SOURCE
        assert entry["configured"] == {"tune.governor": "fast", "tune.profile": "hpc"}
        assert (entry["every_s"], entry["timeout_s"]) == (60, 7)
        used = frozenset[str]().union(*named_blobs(tmp_path).values())
        collect_blobs(tmp_path, used, now_s=1e12, min_age_s=0)
        assert (tmp_path / "blobs/sha256" / digest).exists()


async def test_nodes_without_the_value_that_a_duty_is_for_do_not_have_it(tmp_path: Path) -> None:
    module = Module("tune", summary="Tunes nodes")
    governor = module.variable("governor", Enum(("slow", "fast")))
    profile = module.variable("profile", Text(), configured=True)
    module.duty("look", SOURCE, reports=[governor], where_set=profile)
    async with small_master(tmp_path, module) as master:
        assert "duty/tune.look" not in master.link._records["n1"]
        master.operations.set_values("n1", {"tune.profile": "hpc"}, "test")
        assert told(master, "n1", "duty/tune.look")["configured"] == {"tune.profile": "hpc"}
        master.operations.set_values("n1", {"tune.profile": None}, "test")
        assert "duty/tune.look" not in master.link._records["n1"]


async def test_an_order_without_a_handler_goes_to_the_duty_and_its_report_ends_the_step(
    tmp_path: Path,
) -> None:
    async with small_master(tmp_path, tune()) as master:
        slow = json.dumps({"values": {"tune.governor": "slow"}}).encode()
        take_in(master.head, "n1", {"duty/tune.look": slow})
        await until(lambda: "order/tune.speed_up" in master.link._records["n1"])
        fast = json.dumps({"values": {"tune.governor": "fast"}}).encode()
        take_in(master.head, "n1", {"duty/tune.look": fast})
        await until(lambda: master.operations.status("n1")[0]["phase"] == "converged")
        assert "order/tune.speed_up" not in master.link._records["n1"]


async def test_a_node_that_waits_for_a_duty_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    async with small_master(tmp_path, tune()) as master:

        def why(report: Any) -> str:
            take_in(master.head, "n1", {"duty/tune.look": json.dumps(report).encode()})
            return master.operations.status("n1")[0]["why"]

        await until(lambda: "to hear of" in master.operations.status("n1")[0]["why"])
        found = why({"error": {"what": "no sensors", "why": "i2c is not loaded"}})
        assert (
            found
            == "to hear of tune.governor (tune.look); tune.look: no sensors (i2c is not loaded)"
        )
        assert "tune.look: " in why({"values": {"tune.governor": "purple"}})
        assert "tune.look" not in why({"values": {"tune.governor": "fast"}})


async def test_a_duty_is_not_believed_about_another_modules_variables(tmp_path: Path) -> None:
    async with small_master(tmp_path, calm(), tune()) as master:
        await until(lambda: master.head.nodes["n1"].seen("calm.switch") == "on")
        lie = {"values": {"tune.governor": "fast", "calm.switch": "off"}}
        take_in(master.head, "n1", {"duty/tune.look": json.dumps(lie).encode()})
        assert master.head.nodes["n1"].seen("calm.switch") == "on"
        assert master.head.nodes["n1"].seen("tune.governor") == "fast"
        (event,) = events(master, "duty")
        assert "calm.switch" in event["cause"] and event["subject"] == "tune.look"


async def test_a_value_outside_its_kind_an_error_and_silence_are_unknown(tmp_path: Path) -> None:
    async with small_master(tmp_path, tune()) as master:
        node = master.head.nodes["n1"]

        def report(value: Any) -> Any:
            raw = None if value is None else json.dumps(value).encode()
            take_in(master.head, "n1", {"duty/tune.look": raw})
            return node.seen("tune.governor")

        fast = {"values": {"tune.governor": "fast"}}
        for bad in (
            {"values": {"tune.governor": "purple"}},
            {"error": {"what": "no sensors", "why": "x"}},
            {"values": {}},
            {"values": 5},
            [1],
            None,
        ):
            assert report(fast) == "fast"
            assert report(bad) is None, bad
        assert any("no sensors" in event["cause"] for event in events(master, "duty"))


async def test_a_dutys_variable_is_not_taken_by_itself(tmp_path: Path) -> None:
    async with small_master(tmp_path, tune()) as master:
        take_in(master.head, "n1", {"tune.governor": b'"fast"', "duty/nobody.knows": b"{}"})
        assert master.head.nodes["n1"].seen("tune.governor") is None


@pytest.mark.parametrize(
    "raw",
    [
        b'"\\ud800"',
        b"NaN",
        b"1e999",
        b"\xff",
        b"[" * 5000 + b"]" * 5000,
        b"[[[[[[[[[1]]]]]]]]]",
        b"",
    ],
)
def test_what_is_no_proper_json_is_not_known(raw: bytes) -> None:
    assert decoded(raw) is None and decoded(b'["\xc3\xa9"]') == ["é"]
