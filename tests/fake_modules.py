"""The first modules' graph as the contracts say, without handlers: what the core is tested with."""

from __future__ import annotations

from typing import Any

from kedge.core.kinds import Anything, Enum, Text, Value
from kedge.core.module import Module
from kedge.core.mutation import Handler
from kedge.core.variable import Relation


def named(name: str) -> Handler:
    """A handler that is never called: the core is pure."""

    async def handler(node: Any, io: Any) -> None:
        raise AssertionError("the core calls no handler")

    handler.__name__ = name
    return handler


def relate(discovered: Value, configured: Value) -> str:
    return str(discovered) if discovered != configured else "wanted"


def power() -> Module:
    module = Module("power", summary="Switch nodes on and off through their BMC")
    state = module.variable("state", Enum(("off", "on")), configured=True)
    module.discovers(state, every_s=30, timeout_s=20)(named("read"))
    module.edge("switch_on", {state: "on"}, where="head", requires={state: "off"}, cost_s=5)
    module.edge(
        "shut_down",
        {state: "off"},
        where="head",
        requires={state: "on", "boot.stage": "running"},
        cost_s=20,
        timeout_s=90,
        destructive=True,
    )
    module.edge(
        "switch_off",
        {state: "off"},
        where="head",
        requires={state: "on"},
        cost_s=60,
        destructive=True,
    )
    return module


def boot() -> Module:
    module = Module("boot", summary="Boot nodes over the network")
    stage = module.variable(
        "stage",
        Enum(("none", "loader", "layer0", "running", "stuck")),
        while_={"power.state": "on"},
        initial="none",
    )
    module.listens(stage, timeout_s=90, requires={"power.state": "on"}, on_timeout={stage: "stuck"})
    module.edge(
        "load",
        {stage: "layer0"},
        where="head",
        requires={stage: ("none", "loader"), "power.state": "on", "image.ready": "ready"},
        via={stage: "loader"},
        on_timeout={stage: "stuck"},
        cost_s=20,
        timeout_s=240,
    )
    return module


def image() -> Module:
    module = Module("image", summary="Images by digest")
    module.variable("wanted", Text(), configured=True)
    ready = module.variable("ready", Enum(("missing", "ready")))
    running = module.variable(
        "running",
        Anything(),
        relation=Relation(
            "image.wanted", ("none", "wanted", "files", "userland", "kernel"), "wanted", relate
        ),
        while_={"boot.stage": "running"},
        initial="none",
    )
    module.discovers(ready, every_s=60, timeout_s=20)(named("look_up"))
    module.listens(running, timeout_s=90, requires={"boot.stage": "running"}, name="report")
    module.edge(
        "fetch",
        {ready: "ready"},
        where="head",
        requires={ready: "missing"},
        cost_s=30,
        timeout_s=1800,
    )
    module.edge(
        "activate",
        {"boot.stage": "running", running: "wanted"},  # pyright: ignore[reportArgumentType]
        where="node",
        requires={"boot.stage": "layer0", running: "none", ready: "ready"},
        on_timeout={"boot.stage": "stuck"},  # pyright: ignore[reportArgumentType]
        cost_s=30,
        timeout_s=300,
    )
    return module


def modules() -> list[Module]:
    return [power(), boot(), image()]
