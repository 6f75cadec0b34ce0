"""The documentation holds together: links lead somewhere, examples work, what is generated is fresh."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeIo
from kedge.core.engine.failing import NEXT_GEAR
from kedge.core.graph import Graph
from kedge.core.module import Module
from kedge.core.node import Configuration
from kedge.core.planner.cache import Planner
from kedge.lib.errors import KedgeError
from kedge.modules.boot import module as boot
from kedge.modules.image import module as image
from kedge.modules.power import module as power
from kedge.site.model import Cluster, Site

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_reference_of_modules_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reference"), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr


PACKAGE = ROOT / "examples" / "module-hugepages" / "src" / "kedge_hugepages"
PACKAGED = [(PACKAGE / name).read_text() for name in ("__init__.py", "duty.py")]


def blocks() -> list[str]:
    page = (ROOT / "docs" / "howto" / "write-a-module.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_packaged_example_stands_on_the_page_as_it_is() -> None:
    assert all(text in blocks() for text in PACKAGED)


def example() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks():
        if block in PACKAGED:
            continue
        exec(compile(block, "write-a-module.md", "exec"), names)
    return names


def planned(module: Module, *, penalised: tuple[str, ...] = ()) -> list[str]:
    compiled = Graph.of([power, boot, image, module]).compiled
    state = [0] * len(compiled.initial)
    for variable, value in compiled.assignment({"power.state": "off"}):
        state[variable] = value
    goals = compiled.assignment({"power.state": "on"})
    numbers = {action.name: action.number for action in compiled.actions}
    penalties = tuple(sorted((numbers[name], NEXT_GEAR) for name in penalised))
    plan = Planner(compiled).plan(compiled.normalise(state), goals, penalties)
    return [step.name for step in plan.steps]


def test_the_example_module_is_the_second_gear() -> None:
    module = example()["module"]
    assert planned(module) == ["power.switch_on"]
    assert planned(module, penalised=("power.switch_on",)) == ["wake.send"]


async def test_the_example_module_sends_its_packet(tmp_path: Path) -> None:
    names = example()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        values: dict[str, Any] = {
            "wake.broadcast": "127.0.0.1",
            "wake.port": receiver.getsockname()[1],
        }
        with_mac = Configuration("n1", values, macs={"provision": "52:54:00:77:00:01"})
        site = Site(Cluster("test"), nodes={"n1": with_mac, "n2": Configuration("n2", values)})
        async with FakeIo(site, tmp_path, modules=(names["module"],)) as io:
            await names["send"](io.node("n1"), io)
            with pytest.raises(KedgeError, match="MAC address is not known"):
                await names["send"](io.node("n2"), io)
        assert receiver.recv(200) == b"\xff" * 6 + bytes.fromhex("525400770001") * 16


async def test_the_example_discovery_tells_open_from_closed(tmp_path: Path) -> None:
    opens = example()["opens"]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        assert opens(address)
    assert not opens(address)
