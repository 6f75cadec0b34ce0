"""A simulated machine: its power, what runs on it while it has some, and what its agent asks of it.

Like a real one it may hang or lose its power; whatever it remembers is then gone. What it does from one
start to the next, `kedge.sim.machines.life` says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from kedge.agent.agent import Agent
from kedge.agent.duties.init_state import InitState
from kedge.agent.place import RUNNING
from kedge.agent.travelling import Declared
from kedge.lib.errors import KedgeError
from kedge.lib.host_files import HostFile
from kedge.sim.machines.body import AgentRun, Job, Memory
from kedge.sim.machines.duties import carry_out, observe, seen
from kedge.sim.machines.life import Life
from kedge.sim.machines.traits import Ills, Outside
from kedge.sim.machines.work import activate
from kedge.sim.world.clock import MachineClock
from kedge.sim.world.sockets import PlainSocket
from kedge.sim.world.web import Answer, split

AGENT_PORT = 40_000


class SimulatedMachine:
    """One machine, named like its node."""

    def __init__(
        self, outside: Outside, name: str, *, address: str, mac: str, rate: float = 1.0
    ) -> None:
        self.outside = outside
        self.world = outside.world
        self.name = name
        self.address = address
        self.mac = mac
        self.rate = rate
        self.clock = MachineClock(outside.world.time, rate=rate)
        self.ills = Ills()
        self.staged: Callable[[], None] = lambda: None  # its tenant, if it has one
        self.admitted: Callable[[dict[str, Any]], None] = lambda told: None
        self.stage = "off"
        self.frozen = False
        self.has_mains = True
        self.has_power = False
        self.network_first = True
        self.network_once = False
        self.starts = 0
        self.image = ""
        self.files: tuple[HostFile, ...] = ()
        self.memory = Memory()
        self.agent: AgentRun | None = None
        self.jobs: Mapping[str, Job] = {
            "image.activate": lambda a, r, t: activate(self, a, r, t),
            "power.shutdown": self._shut_down,
        }
        self._life = Life(self)
        self._hung = False
        self._ports = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def chance(self) -> random.Random:
        """This machine's own chance."""
        return self.world.streams(f"machine {self.name}")

    def random_bytes(self, count: int) -> bytes:
        """What its kernel gives."""
        return self.world.streams(f"entropy {self.name}").randbytes(count)

    def enter(self, stage: str) -> None:
        """It is at another stage of its life."""
        self.stage = stage
        self.staged()

    # ---- power

    def power_on(self) -> None:
        """Give it power; nothing happens if it has it, or if there is none to be had."""
        if self.has_mains and not self.has_power:
            self.has_power = True
            self._start()

    def power_off(self) -> None:
        """Take its power away."""
        self._stop()
        self.has_power = False
        self.enter("off")

    def lose_mains(self) -> None:
        """There is no power to be had any more."""
        self.power_off()
        self.has_mains = False

    def get_mains(self, *, on: bool) -> None:
        """There is again; ``on``: it starts by itself."""
        self.has_mains = True
        if on:
            self.power_on()

    def press_button(self) -> None:
        """Ask its operating system to go down, if there is one that listens."""
        if self.has_power and self.stage == RUNNING and not self.frozen:
            self.go_down("off")

    def boot_from_network_once(self) -> None:
        """Its next boot is from the network."""
        self.network_once = True

    def go_down(self, action: str) -> None:
        """Its operating system ends: ``off`` or ``reboot``."""

        async def ending() -> None:
            self.enter("going down")
            await asyncio.sleep(self.chance.uniform(*self.outside.times.going_down))
            if action == "off":
                self.world.after(0.0, self.power_off)
            else:
                self.world.after(0.0, self.reset)

        self.begin(ending())

    def reset(self) -> None:
        """Begin anew with the firmware."""
        if self.has_power:
            self._stop()
            self._start()

    def hang(self) -> None:
        """It stands still until its power is taken."""
        if self.has_power:
            for task in list(self._tasks):
                task.cancel()
            self.frozen = self._hung = True

    def freeze(self, *, frozen: bool) -> None:
        """Its agent stands still for a while (a storm of interrupts, a full memory)."""
        self.frozen = self._hung or (frozen and self.has_power)
        if not self.frozen and self.agent is not None:
            self.agent.wake()

    def run_clock_at(self, rate: float) -> None:
        """Its clock is faster or slower from now on, also after the next boot."""
        self.rate = rate
        self.clock.run_at(rate)
        if self.agent is not None:
            self.agent.wake()

    def kill_agent(self) -> None:
        """Its agent dies, as by kill -9; whoever looks after it starts it again."""
        if self.agent is not None and not self.frozen:
            self.agent.kill()

    def _start(self) -> None:
        self.starts += 1
        self.clock = MachineClock(self.world.time, rate=self.rate)
        self.memory = Memory()
        self.begin(self._life.run())

    def _stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        self._tasks.clear()
        if self.agent is not None:
            self.agent.stop()
            self.agent = None
        self.frozen = self._hung = False
        self._life = Life(self)
        self.image, self.files = "", ()

    # ---- what runs on it

    def begin(self, work: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """Run ``work`` for as long as the machine does not stop; returns what ends it."""
        task = self.outside.physics.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel

    async def get(self, url: str) -> Answer:
        """Fetch over HTTP, whole; raises `OSError`."""
        return await self.outside.web.download(self.name, self.address, url)

    def reaches(self, url: str) -> bool:
        """Whether something comes through to the server of a URL, and back."""
        network = self.outside.network
        end = network.end_at(split(url)[0][0])
        return network.round_trip_s(self.name, end) is not None

    def url(self) -> str:
        """Where the head of this boot serves files."""
        return self._life.url()

    # ---- what its agent asks of it

    def open_socket(self, woken: Callable[[], None]) -> PlainSocket:
        """A UDP socket at a new port."""
        self._ports += 1
        address = self.address, AGENT_PORT + self._ports % 20_000
        return PlainSocket(self.outside.network, address, woken)

    def holds(self, agent: Agent) -> None:
        """Its agent has read what came: look what it holds of the configured record."""
        stamp = agent.up._child._incoming.stamp  # pyright: ignore[reportPrivateUsage]
        self.outside.rises("configured", self.name, self._ports, value=stamp)

    def facts(self) -> dict[str, Any]:
        """What it is made of."""
        return {"cpus": 64, "memory_bytes": 512 << 30, "boot_id": f"{self.name}-{self.starts}"}

    def observe(self, declared: Declared) -> Job:
        """The work of a duty that travelled here."""
        ill = self.ills.unfit or self.outside.ill(self.image) == "unfit"
        return lambda args, record, tell: observe(
            self, declared, seen(declared.name, ill=ill), tell
        )

    def carry_out(self, declared: Declared, mutation: str) -> Job:
        """The work of an order that a duty carries out; others than a sub-master's have no effect."""
        admits = mutation == "submaster.admit"
        nothing: Callable[[], None] = lambda: None  # noqa: E731
        return lambda args, record, tell: carry_out(
            self, declared, partial(self.admitted, args) if admits else nothing
        )

    def init_state(self) -> InitState:
        """How far its init has come."""
        if self._life.init_up:
            return InitState("running", True)
        return InitState("starting", False, waits=("hangs.service",))

    def write_files(self, files: tuple[HostFile, ...]) -> None:
        """Write host files; raises `KedgeError`."""
        if self.ills.root_full:
            raise KedgeError(
                "files.unwritable", "a host file cannot be written", where=files[0].path,
                why="No space left on device",
            )  # fmt: skip
        self.files = files

    async def _shut_down(
        self, args: dict[str, Any], record: Mapping[str, bytes], tell: object
    ) -> dict[str, Any]:
        return {"shut_down": str(args.get("action", "off"))}
