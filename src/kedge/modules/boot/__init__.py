"""Bring a node that has power to layer0: DHCP, firmware, its own iPXE script, kernel and initramfs.

A node gets its script only while the engine boots it (a permit), from its own address, and once. All
other machines are told on their console why not.
"""

from __future__ import annotations

import asyncio
from functools import partial

from kedge.core.kinds import Anything, Enum, ListOf, Text
from kedge.core.module import Module
from kedge.modules.boot import actions, dhcp, http, router, tftp
from kedge.modules.boot.layer0.record import load_record
from kedge.modules.boot.place import boot_settings
from kedge.modules.boot.script import ARGUMENT
from kedge.modules.port import Io, Node

module = Module("boot", summary="Boot nodes over the network into layer0")

arch = module.variable(
    "arch",
    Text(r"x86_64|aarch64", "x86_64 or aarch64"),
    summary="The node's processor architecture",
    configured=True,
    default="x86_64",
)
args = module.variable(
    "args",
    ListOf(Text(ARGUMENT.pattern, "console=ttyS0,115200"), most=64),
    summary="Kernel arguments besides those of the image",
    configured=True,
)
stage = module.variable(
    "stage",
    Enum(("none", "loader", "layer0", "running", "stuck")),
    summary="How far the node has booted",
    while_={"power.state": "on"},
    initial="none",
)
progress = module.variable("progress", Anything(), summary="What is happening now, in words")

HEARD_S = 90.0
LOAD_S = 240.0

module.listens(
    stage,
    timeout_s=HEARD_S,
    requires={"power.state": "on"},
    on_timeout={stage: "stuck"},
    summary="Heard from the boot server (loader) and from the node's agent (layer0, running)",
)


@module.mutates(
    stage,
    ("none", "loader"),
    "layer0",
    requires={"power.state": "on", "image.ready": "ready"},
    via={stage: "loader"},
    on_timeout={stage: "stuck"},
    cost_s=20,
    timeout_s=LOAD_S,
    budgets=("boot.servers",),
    hints={
        "none": "It never asked the boot server: look at its console, boot order, cable, VLAN, and for "
        "another DHCP server (kedge doctor --interface IF)",
        "loader": "Its firmware came to the boot server, but layer0 never spoke: look at its console",
        "": "Look at its console",
    },
)
async def load(node: Node, io: Io) -> None:
    """Let the node boot, once: when its firmware asks, it gets its script."""
    load_record(io.state_dir, str(node.configured("boot.arch")))
    io.grant_boot(node.name)


SITE_LOOK_S = 0.5


@module.service
async def serve(io: Io) -> None:
    """Run the boot servers, as soon as a site says where."""
    settings = boot_settings(io)
    while settings.network not in io.site.networks:
        await asyncio.sleep(SITE_LOOK_S)
    io.spawn("boot.http", partial(http.serve, io, settings))
    if settings.dhcp != "off":
        io.spawn("boot.dhcp", partial(dhcp.serve, io, settings))
    if settings.tftp:
        io.spawn("boot.tftp", partial(tftp.serve, io, settings))
    if settings.router_advertisements:
        io.spawn("boot.router", partial(router.serve, io, settings))


actions.declare(module)
