"""Simulated BMCs: they switch a machine when they feel like it, and do not always say the truth.

The production power module speaks to them through its table of drivers; calls run in virtual time on
the BMC's lane.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from kedge.lib.errors import KedgeError
from kedge.modules.power.bmc import CALL_TIMEOUT_S, Bmc, Driver, busy, no_answer, refused
from kedge.sim.world.loop import Loop, Slow
from kedge.sim.world.network import Network
from kedge.sim.world.time import World

ANSWERS_WITHIN_S = (0.02, 0.6)
USERNAME = "admin"
"""Of all simulated BMCs."""


class Powered(Protocol):
    """The machine behind a BMC."""

    @property
    def has_mains(self) -> bool: ...
    @property
    def has_power(self) -> bool: ...
    def power_on(self) -> None: ...
    def power_off(self) -> None: ...
    def press_button(self) -> None: ...
    def boot_from_network_once(self) -> None: ...


@dataclass
class Ills:
    """What is wrong with a BMC now."""

    hangs: bool = False
    busy: bool = False
    slow_s: float = 0.0
    late_s: float = 0.0
    lies_s: float = 0.0
    drops: float = 0.0


class SimulatedBmc:
    """One BMC. ``heard`` is told of every command (process's end, node, command) that reaches it."""

    def __init__(
        self,
        world: World,
        end: str,
        node: str,
        machine: Powered,
        password: str,
        heard: Callable[[str, str, str], None],
    ) -> None:
        self.end = end
        self.node = node
        self.username, self.password = USERNAME, password
        self.ills = Ills()
        self._world = world
        self._machine = machine
        self._heard = heard
        self._shown: tuple[str, float] = ("off", 0.0)

    @property
    def is_mute(self) -> bool:
        """Whether nothing answers at its address."""
        return self.ills.hangs or not self._machine.has_mains

    @property
    def chance(self) -> random.Random:
        """This BMC's own chance."""
        return self._world.streams(f"bmc {self.end}")

    def read(self) -> str:
        """The power state, or for a while after it changed what it was before."""
        true = "on" if self._machine.has_power else "off"
        shown, until = self._shown
        if shown != true:
            if until == 0.0 and self.ills.lies_s:
                self._shown = shown, self._world.now + self.ills.lies_s
                return shown
            if self._world.now < until:
                return shown
        self._shown = true, 0.0
        return true

    def command(self, source: str, what: str) -> None:
        """Take a command; it is carried out now or ``late_s`` later, or forgotten."""
        self._heard(source, self.node, what)
        if self.ills.drops and self.chance.random() < self.ills.drops:
            return
        act = {
            "on": self._machine.power_on,
            "off": self._machine.power_off,
            "shut_down": self._machine.press_button,
            "network_once": self._machine.boot_from_network_once,
        }[what]
        if self.ills.late_s:
            self._world.after(self.chance.uniform(0.0, self.ills.late_s), act)
        else:
            act()


class Bmcs:
    """All BMCs by address (and, where several machines share one, system)."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.all: dict[tuple[str, str], SimulatedBmc] = {}

    def driver(self, bmc: Bmc) -> Driver:
        """The driver for a BMC as the site describes it."""
        return cast("Driver", SimulatedDriver(self, bmc))


class SimulatedDriver:
    """A `kedge.modules.power.bmc.Driver` whose calls take virtual time."""

    def __init__(self, bmcs: Bmcs, bmc: Bmc) -> None:
        self._bmcs = bmcs
        self._bmc = bmc

    def read(self) -> Slow:
        return self._ask(lambda device, source: device.read())

    def on(self) -> Slow:
        return self._tell("on")

    def off(self) -> Slow:
        return self._tell("off")

    def shut_down(self) -> Slow:
        return self._tell("shut_down")

    def boot_from_network_once(self) -> Slow:
        return self._tell("network_once")

    def _tell(self, what: str) -> Slow:
        return self._ask(lambda device, source: device.command(source, what))

    def _ask(self, question: Callable[[SimulatedBmc, str], Any]) -> Slow:
        source = cast("Loop", asyncio.get_running_loop()).end
        device = self._bmcs.all.get((self._bmc.address, self._bmc.system))
        if device is None:
            return _failed(CALL_TIMEOUT_S, no_answer(self._bmc))
        trip_s = self._bmcs.network.round_trip_s(source, device.end)
        if trip_s is None or device.is_mute:
            return _failed(CALL_TIMEOUT_S, no_answer(self._bmc))
        taken_s = trip_s + device.chance.uniform(*ANSWERS_WITHIN_S) + device.ills.slow_s
        if device.ills.busy:
            return _failed(taken_s, busy(self._bmc, "no free session"))
        if (self._bmc.username, self._bmc.password) != (device.username, device.password):
            return _failed(taken_s, refused(self._bmc, "wrong user or password"))
        return Slow(taken_s, question(device, source))


def _failed(taken_s: float, error: KedgeError) -> Slow:
    return Slow(taken_s, error=error)
