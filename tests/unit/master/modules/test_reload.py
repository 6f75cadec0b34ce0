"""Modules that come, change and go while Kedge runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kedge.core.kinds import Enum
from kedge.core.module import Module
from kedge.lib.errors import KedgeError
from kedge.master.modules.loading import Installed, Loaded
from small_master import calm, events, small_master, until

PACKAGE = """
from kedge.core.kinds import Enum
from kedge.core.module import Module

module = Module("lamp", summary="A lamp", version="{version}")
colour = module.variable("colour", Enum(({colours})), configured=True{default})
module.listens(colour, timeout_s=30)
{more}
"""


class Slow:
    """A module with a mutation that takes as long as the test likes."""

    def __init__(self) -> None:
        self.module = Module("slow", summary="Takes its time")
        door = self.module.variable("door", Enum(("shut", "open")), configured=True, default="open")
        self.held: dict[str, str] = {}
        self.begun: list[str] = []
        self.served: list[str] = []
        held, begun = self.held, self.begun

        @self.module.discovers(door, every_s=5.0, timeout_s=5.0)
        async def read(node: Any, io: Any) -> None:
            io.observe(node.name, {"slow.door": held.get(node.name, "shut")}, by="slow")

        @self.module.mutates(door, "shut", "open", timeout_s=60.0)
        async def push(node: Any, io: Any) -> None:
            begun.append(node.name)

    def with_service(self, name: str) -> Module:
        """The same module, with a service that says when it runs and when it ends."""
        module = Module("slow", summary=name)
        for part in ("variables", "discoveries", "mutations"):
            setattr(module, part, list(getattr(self.module, part)))

        @module.service
        async def serve(io: Any) -> None:
            self.served.append(f"{name} runs")
            try:
                await asyncio.Event().wait()
            finally:
                self.served.append(f"{name} ends")

        return module


def steps(master: Any) -> set[tuple[str, str]]:
    return {
        (node, running.step_id)
        for node in master.head.nodes
        for running in master.head.engine.condition(node).running
    }


async def test_steps_in_flight_go_on_and_services_change_places(tmp_path: Path) -> None:
    slow, kept = Slow(), calm()
    now = [kept, slow.with_service("first")]
    source = lambda fresh: [Loaded(module) for module in now]  # noqa: E731
    async with small_master(tmp_path, source=source) as master:
        await until(lambda: len(slow.begun) == 4)
        flying = steps(master)
        other = Module("other", summary="One more")
        tint = other.variable("tint", Enum(("red", "blue")), configured=True, default="blue")
        other.listens(tint, timeout_s=600)
        now[:] = [kept, slow.with_service("second"), other]
        told = await master.operations.modules.reload((), "test")
        assert told == {"added": ["other"], "changed": ["slow"], "removed": [], "passed_on": []}
        assert steps(master) == flying and len(slow.begun) == 4
        await until(lambda: slow.served == ["first runs", "first ends", "second runs"])
        assert master.operations.status("n1")[0]["goals"]["other.tint"] == "blue"
        slow.held |= dict.fromkeys(master.head.nodes, "open")
        await until(lambda: not steps(master))
        assert len(slow.begun) == 4, "no step was begun again"

        now[:] = [kept]
        told = await master.operations.modules.reload((), "test")
        assert told["removed"] == ["other", "slow"]
        assert "slow.door" not in master.head.nodes["n1"].discovered
        await until(lambda: slow.served[-1] == "second ends")
        phases = lambda: {row["phase"] for row in master.operations.status()}  # noqa: E731
        await until(lambda: phases() == {"converged"})
        assert master.head.nodes["n1"].seen("calm.switch") == "on"


async def test_a_step_of_a_module_that_goes_is_dropped(tmp_path: Path) -> None:
    slow, kept = Slow(), calm()
    now = [kept, slow.module]
    source = lambda fresh: [Loaded(module) for module in now]  # noqa: E731
    async with small_master(tmp_path, source=source) as master:
        await until(lambda: len(slow.begun) == 4)
        now[:] = [kept]
        await master.operations.modules.reload((), "test")
        dropped = [e for e in events(master, "step") if e["after"] == "dropped"]
        assert {e["subject"] for e in dropped} == {"slow.push"}


async def test_what_does_not_fit_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    slow, kept = Slow(), calm()
    now = [kept, slow.with_service("first")]
    source = lambda fresh: [Loaded(module) for module in now]  # noqa: E731
    async with small_master(tmp_path, source=source) as master:
        await until(lambda: slow.served == ["first runs"])
        master.operations.set_values("n1", {"slow.door": "shut"}, "test")
        graph = master.head.graph
        bad = Module("bad", summary="")
        bad.edge("go", {"slow.dor": "open"}, where="head")
        for attempt, what in (([kept, slow.module, bad], "slow.dor"), ([kept], "slow.door")):
            now[:] = attempt
            with pytest.raises(KedgeError, match=what):
                await master.operations.modules.reload((), "test")
            assert master.head.graph is graph and slow.served == ["first runs"]
            master.operations.set_values("n2", {"slow.door": "shut"}, "test")


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Any]:
    """Writes a package with an entry point onto the path, in several versions."""
    site = tmp_path / "site"
    site.mkdir()
    sys.path.insert(0, str(site))

    def write(
        version: str, colours: str = '"red", "green"', default: str = "", more: str = ""
    ) -> None:
        (site / "kedge_lamp").mkdir(exist_ok=True)
        text = PACKAGE.format(version=version, colours=colours, default=default, more=more)
        (site / "kedge_lamp/__init__.py").write_text(text)
        meta = site / "kedge_lamp-1.dist-info"
        meta.mkdir(exist_ok=True)
        (meta / "METADATA").write_text(f"Name: kedge-lamp\nVersion: {version}\n")
        (meta / "entry_points.txt").write_text("[kedge.modules]\nlamp = kedge_lamp:module\n")

    yield write
    sys.path.remove(str(site))
    for name in [name for name in sys.modules if name.startswith("kedge_lamp")]:
        del sys.modules[name]


async def test_a_package_is_taken_up_changed_and_kept_when_it_breaks(
    tmp_path: Path, installed: Any
) -> None:
    async with small_master(tmp_path / "state", source=Installed()) as master:
        modules = master.operations.modules
        assert "lamp" not in {row["name"] for row in modules.rows()}
        installed("1.0")
        assert (await modules.reload((), "test"))["added"] == ["lamp"]
        row = next(row for row in modules.rows() if row["name"] == "lamp")
        assert (row["version"], row["package"], row["package_version"]) == (
            "1.0",
            "kedge-lamp",
            "1.0",
        )
        assert any(v["name"] == "lamp.colour" for v in master.operations.variables())
        assert "`lamp.colour`" in modules.show("lamp")["reference"]
        assert await modules.reload((), "test") == {
            "added": [],
            "changed": [],
            "removed": [],
            "passed_on": [],
        }
        master.operations.set_values("n1", {"lamp.colour": "green"}, "test")

        installed("1.1", more="1 / 0")
        with pytest.raises(KedgeError, match="cannot be imported"):
            await modules.reload((), "test")
        assert sys.modules["kedge_lamp"].module.version == "1.0"
        installed("1.1", colours='"red", "blue"')
        with pytest.raises(KedgeError, match="green"):
            await modules.reload((), "test")
        assert modules.show("lamp")["version"] == "1.0"

        installed("2.0", colours='"red", "green", "blue"')
        assert (await modules.reload((), "test"))["changed"] == ["lamp"]
        assert modules.show("lamp")["version"] == "2.0"
        master.operations.set_values("n2", {"lamp.colour": "blue"}, "test")
        assert master.operations.status("n1")[0]["goals"]["lamp.colour"] == "green"
        with pytest.raises(KedgeError, match="no installed module"):
            await modules.reload(["lamb"], "test")
