"""A whole master on loopback with modules of a test's own, and devices that are dictionaries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kedge.core.kinds import Enum
from kedge.core.module import Module
from kedge.master.assembly import Master
from kedge.master.modules.loading import Source
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.master.serve import running

FILES = {
    "site.yaml": """
cluster: { name: t, domain: t.example }
networks: { provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 } }
groups: { g: { nodes: "n[1-4]" } }
nodes: { "n[1-4]": { addresses: { provision: "10.77.1.{number}" } } }
"""
}


def calm(name: str = "calm", slow_s: float = 0.0) -> Module:
    """A module that does its work: a switch that each node has, wanted to be on."""
    module = Module(name, summary="A switch")
    switch = module.variable("switch", Enum(("off", "on")), configured=True, default="on")
    held: dict[str, str] = {}

    @module.discovers(switch, every_s=5.0, timeout_s=5.0)
    async def read(node: Any, io: Any) -> None:
        io.observe(node.name, {switch.name: held.get(node.name, "off")}, by=name)

    @module.mutates(switch, "off", "on", timeout_s=5.0)
    async def turn_on(node: Any, io: Any) -> None:
        await asyncio.sleep(slow_s)
        held[node.name] = "on"

    return module


@asynccontextmanager
async def small_master(
    state_dir: Path, *modules: Module, again: bool = False, source: Source | None = None
) -> AsyncGenerator[Master]:
    """A running master with four nodes; ``again``: with the site that it had before."""
    settings = Settings(
        state_dir, state_dir / "api.sock", sync_address="127.0.0.1", sync_port=0, heartbeat_s=1.0
    )
    async with running(settings, source or modules, Host()) as master:
        if not again:
            master.operations.apply(FILES, "test")
        yield master


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> float:
    """Wait for something; how long it took."""
    started = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
    return time.monotonic() - started


def converged(master: Master, variable: str = "calm.switch") -> bool:
    """Whether all nodes have the switch on and nothing to do."""
    return all(
        row["symbols"].get(variable) == "on" and row["phase"] == "converged"
        for row in master.operations.status()
    )


def events(master: Master, what: str = "") -> list[dict[str, Any]]:
    """The log, of one sort."""
    return [e for e in master.operations.events(limit=10_000) if what in ("", e["what"])]
