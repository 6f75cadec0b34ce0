"""What the suite of power drivers needs of a BMC: a machine behind it, and ways to go wrong.

To bring another protocol: a class like those below, and its name in `BENCHES` with what starts it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast
from unittest import mock

from in_world import InWorld, Process

from ipmi_simulator import PASSWORD, Simulated, start_ipmi_sim
from kedge.lab import certificates, redfish
from kedge.lab.bmc import Login
from kedge.lab.description import Bmc as DescribedBmc
from kedge.lab.description import Machine
from kedge.modules.power import redfish as redfish_driver
from kedge.modules.power.bmc import CALL_TIMEOUT_S, Bmc, Driver
from kedge.modules.power.ipmi import IpmiDriver
from kedge.modules.power.redfish import RedfishDriver
from kedge.sim.machines.bmc import Bmcs, SimulatedBmc
from private_network import private_network
from redfish_chassis import Chassis

T = TypeVar("T")

WRONG = "wrong-Pass-word"
"""A password that no BMC of the suite takes."""
IMPATIENT_S = 3
"""How long drivers wait here for a BMC that says nothing."""


class Bench(Protocol):
    """One BMC with a machine behind it that is off at first."""

    bmc: Bmc
    """How it is reached, with the right credentials; ``credentials`` is *bmc*."""

    def driver(self, bmc: Bmc) -> Driver:
        """A new driver; it may be less patient with silence than one in use."""
        ...

    def has_power(self) -> bool:
        """Whether the machine has power."""
        ...

    def set_power(self, on: bool) -> None:
        """Somebody presses the machine's button."""
        ...

    def told(self) -> Sequence[str]:
        """What the machine was told until now: ``on``, ``off``, ``shut down``, ``network once``, in order."""
        ...

    def silent(self) -> AbstractContextManager[None]:
        """The BMC takes what comes and answers nothing."""
        ...

    def nowhere(self) -> Bmc:
        """A BMC that is not there."""
        ...

    def now(self) -> float:
        """Seconds on a clock that only grows."""
        ...


class OnIpmi:
    """Debian's ipmi_sim."""

    WORDS = {  # noqa: RUF012
        "set power 1": "on",
        "set power 0": "off",
        "set shutdown 1": "shut down",
        "set boot pxe": "network once",
    }

    def __init__(self, sim: Simulated) -> None:
        self._sim = sim
        self.bmc = Bmc("n1", "ipmi", "127.0.0.1", sim.port, "admin", PASSWORD, "bmc")
        self._made: list[Any] = []
        self._timeout_s = CALL_TIMEOUT_S

    def driver(self, bmc: Bmc) -> Driver:
        timeout_s = IMPATIENT_S if bmc == self.nowhere() else self._timeout_s
        self._made.append(IpmiDriver(bmc, timeout_s))
        return self._made[-1]

    def has_power(self) -> bool:
        return self._sim.has_power

    def set_power(self, on: bool) -> None:
        self._sim.set_power(on)

    def told(self) -> Sequence[str]:
        asked = [words for words in self._sim.asked if words.startswith("set ")]
        return [self.WORDS.get(words, words) for words in asked]

    @contextmanager
    def silent(self) -> Iterator[None]:
        os.kill(self._sim.process.pid, signal.SIGSTOP)
        self._wait(IMPATIENT_S)
        try:
            yield
        finally:
            self._wait(CALL_TIMEOUT_S)
            os.kill(self._sim.process.pid, signal.SIGCONT)

    def _wait(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        for driver in self._made:
            driver._timeout_s = timeout_s

    def nowhere(self) -> Bmc:
        return replace(self.bmc, port=9)

    def now(self) -> float:
        return time.monotonic()


@contextmanager
def ipmi(folder: Path) -> Iterator[OnIpmi]:
    """A running ipmi_sim."""
    sim = start_ipmi_sim(folder / "bmc")
    try:
        yield OnIpmi(sim)
    finally:
        sim.process.kill()
        sim.process.wait()


class OnRedfish:
    """The lab's Redfish service, on a thread of its own."""

    ADDRESS = "127.0.0.2"

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        authority = folder / "ca.pem"
        certificates.prepare("test", authority, [self.ADDRESS], folder / "tls")
        self._loop, self._chassis = loop, Chassis()
        self._made: list[Any] = []
        described = DescribedBmc(protocol="redfish", address=self.ADDRESS)
        machine = Machine(name="n1", mac="52:54:00:77:00:01", bmc=described)
        chassis: Any = self._chassis
        pem = certificates.server_file(folder / "tls", self.ADDRESS)
        self.service = redfish.RedfishBmc(machine, chassis, Login("admin", PASSWORD), pem)
        self.bmc = Bmc(
            "n1", "redfish", self.ADDRESS, 443, "admin", PASSWORD, "bmc", tls=str(authority)
        )

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the service's thread do something."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def driver(self, bmc: Bmc) -> Driver:
        made: Any = RedfishDriver(bmc)
        self._made.append(made)
        return made

    def has_power(self) -> bool:
        return self._chassis.on

    def set_power(self, on: bool) -> None:
        self._chassis.on = on

    def told(self) -> Sequence[str]:
        words = {"button": "shut down", "boot pxe": "network once"}
        return [words.get(did, did) for did in self._chassis.did]

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.call(self.service.set_hang(True))
        self._wait(IMPATIENT_S)
        try:
            with mock.patch.object(redfish_driver, "READ_TIMEOUT_S", IMPATIENT_S):
                yield
        finally:
            self._wait(redfish_driver.READ_TIMEOUT_S)
            self.call(self.service.set_hang(False))

    def _wait(self, timeout_s: float) -> None:
        for driver in self._made:
            if driver._client is not None:
                driver._client._connector._default_request_timeout = timeout_s

    def nowhere(self) -> Bmc:
        return replace(self.bmc, address="127.0.0.3")

    def now(self) -> float:
        return time.monotonic()


@contextmanager
def on_redfish(folder: Path) -> Iterator[OnRedfish]:
    """A running service, in a network of its own."""
    with ExitStack() as stack:
        stack.enter_context(private_network())
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(loop.call_soon_threadsafe, loop.stop)
        bench = OnRedfish(folder, loop)
        bench.call(bench.service.start())
        stack.callback(lambda: bench.call(bench.service.stop()))
        yield bench


@dataclass
class Pretended:
    """A machine behind a simulated BMC, and what it was told."""

    has_mains: bool = True
    has_power: bool = False
    did: list[str] = field(default_factory=list)

    def power_on(self) -> None:
        self.did.append("on")
        self.has_power = True

    def power_off(self) -> None:
        self.did.append("off")
        self.has_power = False

    def press_button(self) -> None:
        self.did.append("shut down")
        self.has_power = False

    def boot_from_network_once(self) -> None:
        self.did.append("network once")


class OnSimulated:
    """The simulator's BMC."""

    def __init__(self) -> None:
        self._process, self._machine = Process(), Pretended()
        self._bmcs = Bmcs(self._process.network)
        self.bmc = Bmc("n1", "redfish", "10.78.0.1", 443, "admin", PASSWORD, "bmc")
        self._device = SimulatedBmc(
            self._process.world, "n1.bmc", "n1", self._machine, PASSWORD, lambda *_: None
        )
        self._bmcs.all[self.bmc.address, ""] = self._device

    def driver(self, bmc: Bmc) -> Driver:
        return cast("Driver", InWorld(self._process, self._bmcs.driver(bmc)))

    def has_power(self) -> bool:
        return self._machine.has_power

    def set_power(self, on: bool) -> None:
        self._machine.has_power = on

    def told(self) -> Sequence[str]:
        return self._machine.did

    @contextmanager
    def silent(self) -> Iterator[None]:
        self._device.ills.hangs = True
        try:
            yield
        finally:
            self._device.ills.hangs = False

    def nowhere(self) -> Bmc:
        return replace(self.bmc, address="10.78.0.99")

    def now(self) -> float:
        return self._process.world.now
