"""A small world for one engine: scripted devices that answer what the engine asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fake_modules import modules
from kedge.core.condition import Condition
from kedge.core.engine import Engine, Settings
from kedge.core.events import (
    Effect,
    EndStep,
    Event,
    NodeConfigured,
    Observed,
    StartDiscovery,
    StartStep,
    Tick,
)
from kedge.core.graph import Graph

RUNNING = {"power.state": "on", "image.running": "wanted"}
UP = {
    "power.state": "on",
    "boot.stage": "running",
    "image.running": "wanted",
    "image.ready": "ready",
}


class World:
    """One engine, driven by hand: every event is a line of the scenario, effects are collected."""

    def __init__(self, *, graph: Graph | None = None, restart: int = 1, **settings: float) -> None:
        self.graph = graph or Graph.of(modules())
        self.engine = Engine(
            self.graph,
            seed=7,
            restart=restart,
            settings=Settings(**settings),  # pyright: ignore[reportArgumentType]
        )
        self.now = 1000.0
        self.effects: list[Effect] = []

    def tell(self, event: Event, after: float = 0.0) -> list[Effect]:
        """One event, ``after`` seconds later."""
        self.now += after
        self.effects = self.engine.step(event, self.now)
        return self.effects

    def configure(self, node: str = "n1", goals: Mapping[str, str] = RUNNING, **more: Any) -> None:
        self.tell(NodeConfigured(node, goals, **more))

    def see(self, node: str = "n1", after: float = 0.1, **values: str) -> list[Effect]:
        """An observation: ``power_state="on"`` stands for ``power.state``."""
        seen = {name.replace("_", ".", 1): value for name, value in values.items()}
        return self.tell(Observed(node, seen, "test"), after)

    def up(self, node: str = "n1", **more: Any) -> None:
        """A node configured and seen running."""
        self.configure(node, **more)
        self.tell(Observed(node, UP, "test"))
        assert self.condition(node).phase == "converged"

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass, timer by timer."""
        end = self.now + seconds
        found: list[Effect] = []
        while (due := self.engine.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            found += self.engine.step(Tick(), self.now)
        self.now = end
        self.effects = found
        return found

    def condition(self, node: str = "n1") -> Condition:
        return self.engine.condition(node)

    def started(self) -> list[str]:
        """The mutations that the last event began."""
        return [e.mutation for e in self.effects if isinstance(e, StartStep)]

    def asked(self) -> list[str]:
        """The discoveries that the last event began."""
        return [e.discovery for e in self.effects if isinstance(e, StartDiscovery)]

    def ended(self) -> list[tuple[str, str]]:
        """The steps that the last event ended, with their outcome."""
        return [(e.mutation, e.outcome) for e in self.effects if isinstance(e, EndStep)]

    def step_id(self, mutation: str, node: str = "n1") -> str:
        return next(r.step_id for r in self.condition(node).running if r.mutation == mutation)


def boot(world: World, node: str = "n1") -> None:
    """From off to running, the world doing what it is told."""
    world.see(node, power_state="on")
    world.see(node, boot_stage="loader")
    world.see(node, boot_stage="layer0")
    world.tell(Observed(node, {"boot.stage": "running", "image.running": "wanted"}, "agent"), 1)


def change_image(world: World) -> None:
    """The configured image changes while the node runs."""
    world.tell(
        Observed("n1", {"image.running": "kernel", "image.ready": "missing"}, "apply", fresh=False)
    )
    world.tell(NodeConfigured("n1", RUNNING))
