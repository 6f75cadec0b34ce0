"""A module that hangs, raises, floods or lies harms neither the engine nor other modules, and is named."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedge.core.kinds import Anything, Enum, Integer
from kedge.core.module import Module
from kedge.core.variable import Relation
from kedge.lib.errors import KedgeError
from kedge.master.assembly import Master
from kedge.master.modules.loading import Loaded
from kedge.master.modules.manners import OBSERVES_LEAST
from small_master import calm, converged, events, small_master, until

Spoil = Callable[[Module, Any], None]


def bad(discover: Any, *, carry_out: Any = None, timeout_s: float = 0.3) -> Module:
    """A module with a switch of its own, which it handles as told."""
    module = Module("bad", summary="Misbehaves")
    level = module.variable("level", Enum(("low", "high")), configured=True, default="high")
    module.variable("number", Integer(0, 9))
    module.discovers(level, every_s=1.0, timeout_s=timeout_s)(discover)
    if carry_out is not None:
        module.mutates(level, "low", "high", timeout_s=timeout_s)(carry_out)
    return module


def low(node: Any, io: Any) -> None:
    io.observe(node.name, {"bad.level": "low"}, by="bad")


async def degraded(master: Master, sort: str, timeout_s: float = 60.0) -> str:
    """Wait until the module is shown as degraded for this; and all others' nodes have what they want."""
    words = lambda: master.operations.about()["degraded"].get("module bad", "")  # noqa: E731
    await until(lambda: f"{sort}: " in words(), timeout_s)
    nodes = master.head.nodes.values()
    await until(lambda: all(n.seen("calm.switch") == "on" for n in nodes), timeout_s)
    row = next(row for row in master.operations.modules.rows() if row["name"] == "bad")
    assert row["degraded"] == words()
    assert [e for e in events(master, "module") if (e["subject"], e["after"]) == ("bad", sort)]
    return words()


async def test_a_discovery_that_never_returns(tmp_path: Path) -> None:
    started: list[float] = []

    async def read(node: Any, io: Any) -> None:
        started.append(time.monotonic())
        await asyncio.sleep(3600)

    async with small_master(tmp_path, calm(), bad(read)) as master:
        words = await degraded(master, "hangs")
        assert "bad.read did not return within 0.3 s" in words
        assert len(started) > 4, "it is asked again"


async def test_a_handler_that_cannot_even_be_cancelled(tmp_path: Path) -> None:
    async def read(node: Any, io: Any) -> None:
        low(node, io)

    async def raise_it(node: Any, io: Any) -> None:
        until_s = time.monotonic() + 2.5
        while time.monotonic() < until_s:
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue

    async with small_master(tmp_path, calm(), bad(read, carry_out=raise_it)) as master:
        assert "bad.raise_it did not return" in await degraded(master, "hangs")


async def test_whatever_is_raised(tmp_path: Path) -> None:
    async def read(node: Any, io: Any) -> None:
        raise ZeroDivisionError("nothing to divide by")

    module = bad(read)

    @module.service
    async def serve(io: Any) -> None:
        raise RecursionError("too deep")

    @module.action("do")
    async def act(io: Any, args: Any) -> Any:
        raise LookupError("not there")

    async with small_master(tmp_path, calm(), module) as master:
        assert "nothing to divide by" in await degraded(master, "raised")
        assert "too deep" in master.operations.about()["degraded"]["bad.0"]
        with pytest.raises(KedgeError, match="not there"):
            await master.operations.act("bad", "do", {}, "test")


async def test_a_relation_that_raises_makes_its_own_variable_unknown(tmp_path: Path) -> None:
    def of(discovered: Any, configured: Any) -> str:
        raise RuntimeError("no relation")

    module = Module("bad", summary="Misbehaves")
    module.variable("wanted", Anything(), configured=True, default="x")
    relation = Relation("bad.wanted", ("same", "other"), "same", of)
    level = module.variable("level", Anything(), relation=relation)

    @module.discovers(level, every_s=1.0)
    async def read(node: Any, io: Any) -> None:
        io.observe(node.name, {"bad.level": "y"}, by="bad")

    async with small_master(tmp_path, calm(), module) as master:
        assert "no relation" in await degraded(master, "raised")
        assert master.operations.status("n1")[0]["symbols"]["bad.level"] == "unknown"


async def test_a_flood_is_bounded_and_its_last_word_is_heard(tmp_path: Path) -> None:
    many = 20_000

    async def read(node: Any, io: Any) -> None:
        if node.name == "n1":
            for number in range(many):
                io.observe("n1", {"bad.number": number % 10}, by="bad")
                io.event("n1", "noise", f"{number}", "bad")
                io.publish("node", {"node": "n1"})
            io.observe("n1", {"bad.number": 7, "bad.level": "low"}, by="bad")

    async with small_master(tmp_path, calm(), bad(read, timeout_s=5)) as master:
        words = await degraded(master, "floods")
        assert f"{many + 1} observations" in words and f"{many} events" in words
        await until(lambda: master.head.nodes["n1"].seen("bad.number") == 7)
        assert len(events(master, "noise")) <= 3 * OBSERVES_LEAST


@pytest.mark.parametrize(
    ("values", "node", "what"),
    [
        ({"calm.switch": "off"}, "", "calm.switch, which it neither declares nor discovers"),
        ({"bad.number": 77}, "", "77 is out of range"),
        ({"bad.level": "purple"}, "", "purple"),
        ({"bad.nothing": 1}, "", "bad.nothing"),
        ({"bad.number": 1}, "n99", "a node that there is not"),
    ],
)
async def test_a_lie_is_not_believed(
    tmp_path: Path, values: dict[str, Any], node: str, what: str
) -> None:
    async def read(of: Any, io: Any) -> None:
        io.observe(node or of.name, values, by="bad")

    async with small_master(tmp_path, calm(), bad(read)) as master:
        assert what in await degraded(master, "lies")
        for known in master.head.nodes.values():
            assert known.seen("bad.level") is None and known.seen("bad.number") is None


async def test_who_blocks_the_event_loop_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad_module.py"
    file.write_text(
        "import time\n"
        "from kedge.core.kinds import Enum\n"
        "from kedge.core.module import Module\n"
        'module = Module("bad", summary="Blocks")\n'
        'level = module.variable("level", Enum(("low", "high")))\n'
        "@module.service\n"
        "async def serve(io):\n"
        "    time.sleep(2.2)\n"
    )
    spec = importlib.util.spec_from_file_location("bad_module", file)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["bad_module"] = made
    spec.loader.exec_module(made)
    loaded = [Loaded(calm()), Loaded(made.module, folder=str(file))]
    async with small_master(tmp_path / "state", source=lambda fresh: loaded) as master:
        words = await degraded(master, "blocks")
        assert "bad_module.py:8" in words


async def test_a_module_that_calms_down_is_no_longer_degraded(tmp_path: Path) -> None:
    async def read(node: Any, io: Any) -> None:
        low(node, io)

    async with small_master(tmp_path, calm(), bad(read)) as master:
        troubles = master.operations.modules.troubles
        troubles.note("bad", "raised", "once")
        assert "module bad" in master.operations.about()["degraded"]
        troubles.forget("bad")
        assert "module bad" not in master.operations.about()["degraded"]
        await until(lambda: converged(master) or True)
