"""A driver of the simulator, called as a real one: its world's time goes on until the call has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedge.sim.world.clock import MachineClock
from kedge.sim.world.loop import Loop
from kedge.sim.world.network import Network
from kedge.sim.world.time import World


class Process:
    """One process in a world of its own."""

    def __init__(self) -> None:
        self.world = World(1)
        self.network = Network(self.world)
        self.clock = MachineClock(self.world.time)
        self.loop = Loop(self.world, "head", self.clock, lambda *_: None)
        self.calls = 0

    def call(self, what: Callable[..., Any], *args: Any) -> Any:
        """Make a blocking call in this process; what it returned, or raises what it raised."""
        self.calls += 1
        answer = self.loop.run_in_executor(None, what, *args)
        while not answer.done():
            self.world.run_until(self.world.now + 0.1)
        return answer.result()


class InWorld:
    """``driver``, each of whose methods is called in ``process``."""

    def __init__(self, process: Process, driver: Any) -> None:
        self._process, self._driver = process, driver

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._driver, name)
        return lambda *args: self._process.call(method, *args)
