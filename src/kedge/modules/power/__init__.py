"""Switch nodes on and off through their BMC (IPMI or Redfish), and know which have power.

Only absolute commands go to a BMC: a cycle is off, seen to be off, then on.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from kedge.core.kinds import Enum, Integer, Struct, Text
from kedge.core.module import Module
from kedge.lib.errors import KedgeError
from kedge.modules.port import Io, Node
from kedge.modules.power.reach import ask

module = Module("power", summary="Switch nodes on and off through their BMC")

bmc = module.variable(
    "bmc",
    Struct(
        {
            "protocol": Enum(("redfish", "ipmi")),
            "address": Text(r"[A-Za-z0-9]([A-Za-z0-9.:_-]{0,252}[A-Za-z0-9])?", "10.78.1.7"),
            "port": Integer(1, 65535),
            "credentials": Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "bmc (the name of a secret)"),
            "system": Text(r"[A-Za-z0-9._/-]{1,200}", "System.Embedded.1"),
            "tls": Text(r"verify|insecure|none|/.+", "verify, insecure, none or /path/to/ca.pem"),
            "auth": Enum(("session", "basic")),
            "firmware": Enum(("bios", "uefi")),
        },
        required=frozenset({"protocol", "address"}),
    ),
    summary="How to reach the node's BMC",
    configured=True,
)

state = module.variable(
    "state", Enum(("off", "on")), summary="Whether the node has power", configured=True
)

POLL_S = 30.0
"""How often a BMC is asked when nothing happens; around a step it is asked at once."""


ENDS_WITHIN_S = 90.0
"""How long a system that was told to shut down may take, until it is taken to go on."""

_leaving: WeakKeyDictionary[Io, dict[str, float]] = WeakKeyDictionary()

ASK_AGAIN_S, ASKED_AGAIN = 20.0, 3
"""A system that has come up a moment ago may not listen to its power button yet."""


@module.discovers(state, every_s=POLL_S, timeout_s=30.0)
async def read(node: Node, io: Io) -> None:
    """Ask the BMC whether the node has power."""
    seen = await ask(node, io, lambda driver: driver.read())
    leaving, now = _leaving.setdefault(io, {}), asyncio.get_running_loop().time()
    if seen == "on" and leaving.get(node.name, now) > now:
        raise KedgeError(
            "power.leaving", "its system was told to shut down, and may still do so",
            where=node.name,
        )  # fmt: skip
    leaving.pop(node.name, None)
    io.observe(node.name, {state.name: seen}, by="bmc")


@module.mutates(state, "off", "on", cost_s=5, timeout_s=60.0, budgets=("power.inrush",))
async def switch_on(node: Node, io: Io) -> None:
    """Choose the network for the next boot, then switch on."""
    try:
        await ask(node, io, lambda driver: driver.boot_from_network_once())
    except KedgeError as error:
        if error.code not in ("power.unsupported", "power.failed"):
            raise
        io.event(node.name, "step", "power.switch_on", f"next boot device not set: {error}")
    await ask(node, io, lambda driver: driver.on())


@module.mutates(
    state,
    "on",
    "off",
    requires={"boot.stage": "running"},
    cost_s=20,
    timeout_s=90.0,
    destructive=True,
)
async def shut_down(node: Node, io: Io) -> None:
    """Ask the running system to end and to switch the node off; ask again while the node has power."""
    try:
        await ask(node, io, lambda driver: driver.shut_down())
        for _ in range(ASKED_AGAIN):
            await asyncio.sleep(ASK_AGAIN_S)
            if await ask(node, io, lambda driver: driver.read()) != "on":
                return
            await ask(node, io, lambda driver: driver.shut_down())
    except asyncio.CancelledError:
        _doubt(node, io)
        raise


def _doubt(node: Node, io: Io) -> None:
    """Nobody wants the shut-down any more, but a system that was told to end ends: until it is off, or has
    gone on for long, nobody knows what of the node lasts."""
    if node.seen(state.name) == "on":
        until = asyncio.get_running_loop().time() + ENDS_WITHIN_S
        _leaving.setdefault(io, {})[node.name] = until
        io.observe(node.name, {state.name: None}, by="bmc")


@module.mutates(state, "on", "off", cost_s=5, surcharge_s=120, timeout_s=60.0, destructive=True)
async def switch_off(node: Node, io: Io) -> None:
    """Take the power away, whatever runs."""
    await ask(node, io, lambda driver: driver.off())
