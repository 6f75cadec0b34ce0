"""A simulated head: the production master on a machine, a network and a disk of the simulated world.

Everything from the API's operations down to the modules' handlers is the code that runs in production.
Replaced are what opens sockets (the sync's and the boot server's), the database's door, and chance.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from kedge.core.engine.engine import Engine
from kedge.core.events import Effect
from kedge.core.graph import Graph
from kedge.core.module import Module
from kedge.lib.errors import KedgeError
from kedge.master.agents.link import KIND as NODE_KEY
from kedge.master.assembly import Master
from kedge.master.process.attribution import current_module
from kedge.master.process.clock import Clock
from kedge.master.process.command import Ran
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.master.serve import running
from kedge.sim.masters.boot_server import BootIlls, Place, serve_boot_files
from kedge.sim.masters.gates import Gates
from kedge.sim.masters.store import Disk, StoreDoor
from kedge.sim.masters.watched_engine import WatchedEngine
from kedge.sim.world.clock import MachineClock
from kedge.sim.world.loop import Loop
from kedge.sim.world.network import Address, Network
from kedge.sim.world.sockets import ServerSocket
from kedge.sim.world.time import World
from kedge.sim.world.web import Answer, Web
from kedge.stores.port import Intent, Store

EPHEMERAL = 40_000
STARTS_AGAIN_S = 5.0
"""How soon a process that ended by itself is started again, as by systemd."""


class Watcher(Protocol):
    """Who sees everything that a head does."""

    def engine_did(self, program: Program, effects: list[Effect]) -> None: ...
    def bug(self, program: Program, what: str, error: BaseException | None) -> None: ...
    def failed_to_run(self, program: Program, error: KedgeError) -> None: ...
    def committed(self, program: Program, intent: Intent) -> None: ...
    def stopped(self, program: Program) -> None: ...
    def rises(self, what: str, *place: object, value: object) -> None: ...
    def script_given(self, program: Program, mac: str, answer: Answer) -> None: ...
    def gate_ended(self, rollout: str, gate: str, passed: bool) -> None: ...
    def kept(self, program: Program, kind: str, key: str, record: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Outside:
    """What all heads share."""

    world: World
    network: Network
    web: Web
    watch: Watcher
    modules: tuple[Module, ...]
    sizes: Mapping[str, int]
    is_new: Callable[[str], bool]


class Program:
    """``kedge serve`` on one machine, started and ended as the world likes."""

    def __init__(
        self,
        outside: Outside,
        end: str,
        *,
        settings: Settings,
        store: Store,
        rate: float = 1.0,
    ) -> None:
        self.outside = outside
        self.end = end
        self.address = settings.sync_address
        self.state_dir = settings.state_dir
        self.store = store
        self.disk = Disk()
        self.boot_ills = BootIlls()
        self.gates = Gates(self.stream("gates"), outside.watch.gate_ended, outside.is_new)
        self.clock = MachineClock(outside.world.time, start=1000.0, rate=rate)
        self.master: Master | None = None
        self.engine: Engine | None = None
        self.starts = 0
        self.loop = self._new_loop()
        self.loop.kill()
        self._stopping = asyncio.Event()
        self._kept_down = 0
        self.boot_id: Callable[[], str] = lambda: ""
        """The boot of the machine that it runs on, where that is one of the cluster's."""
        self._ports = EPHEMERAL
        self._settings = settings

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.loop.alive

    def stream(self, name: str) -> random.Random:
        """A stream of chance of this machine's own."""
        return self.outside.world.streams(f"{self.end} {name}")

    # ---- what the world does to it

    def start(self) -> None:
        """Start the process, if it does not run and nothing keeps it down."""
        if not self.loop.alive and not self._kept_down:
            self.starts += 1
            self.loop = self._new_loop()
            self._stopping = asyncio.Event()
            self.loop.create_task(self._serve())

    def stop(self) -> None:
        """End it in order, as systemd would."""
        self.loop.enter(self._stopping.set)

    def kill(self) -> None:
        """End it at once."""
        self.master = None
        if self.loop.alive:
            self.loop.kill()
            self.outside.watch.stopped(self)
            self.outside.world.after(STARTS_AGAIN_S, self.start)

    def keep_down(self) -> None:
        """However it ends, it is not started again before `let_run` was called as often."""
        self._kept_down += 1

    def let_run(self) -> None:
        """Start it, unless something else keeps it down."""
        self._kept_down -= 1
        self.start()

    def run_clock_at(self, rate: float) -> None:
        """Its clock is faster or slower from now on."""
        self.clock.run_at(rate)

    def ask(self, question: Callable[[Master], object]) -> None:
        """Have something asked of the running master, inside its process."""

        def inside() -> None:
            if self.master is not None:
                question(self.master)

        self.loop.enter(inside)

    def next_port(self) -> int:
        """A port that nobody asked for by number."""
        self._ports += 1
        return EPHEMERAL + self._ports % 20_000

    def owns(self, node: str) -> bool:
        """Whether this process runs and acts on a node."""
        master = self.master
        if master is None or self.loop.is_stopped or node not in master.head.nodes:
            return False
        return not master.head.elsewhere(master.head.nodes[node].configuration)

    def term(self, node: str) -> int:
        """The fencing term in which this process acts on a node; 0: it does not."""
        tenure = self.master.link.tenure(node) if self.master is not None else None
        return tenure.term if tenure is not None else 0

    def heard(self, source: Address) -> None:
        """A datagram was read: look what is held of the node that it came from."""
        node = self.outside.network.end_at(source[0])
        if self.master is None:
            return
        known = self.master.link.parent._nodes.get(node)  # pyright: ignore[reportPrivateUsage]
        if known is not None and known.epoch is not None:
            rises = self.outside.watch.rises
            rises("boot epoch", self.end, self.starts, node, value=known.epoch)
            rises(
                "reported", self.end, self.starts, node, value=(known.epoch, known.incoming.stamp)
            )

    def put(self, kind: str, key: str, record: Mapping[str, Any] | None) -> None:
        """Its store took a record: what is kept of a node's boots never goes back."""
        if record is not None:
            self.outside.watch.kept(self, kind, key, record)
        if kind == NODE_KEY and record is not None:
            epoch = record["term"], record["counter"]
            self.outside.watch.rises("boot epoch kept", self.end, key, value=epoch)

    def committed(self, intent: Intent) -> None:
        """Its store took a new intent."""
        self.outside.watch.committed(self, intent)

    def _new_loop(self) -> Loop:
        def told(message: str, error: BaseException | None) -> None:
            self.outside.watch.bug(self, message, error)

        loop = Loop(self.outside.world, self.end, self.clock, told)
        lanes = self.stream("worker threads")
        loop.blocking_s = lambda: lanes.uniform(0.0005, 0.02)
        return loop

    async def _serve(self) -> None:
        current_module.set("")  # whoever starts it may be at work in another head
        modules = [self._adapted(module) for module in self.outside.modules]
        try:
            async with running(self._settings, modules, SimulatedHost(self)) as master:
                self.master = master
                await self._stopping.wait()
        except KedgeError as error:
            self.outside.watch.failed_to_run(self, error)
        self.kill()

    def _adapted(self, module: Module) -> Module:
        """The module itself, but for services that open sockets."""
        if module.name != "boot":
            return module
        adapted = copy.copy(module)
        chance = self.stream("boot server")
        given = partial(self.outside.watch.script_given, self)
        place = Place(self.outside.web, self.boot_ills, chance, self.outside.sizes, given)
        adapted.services = [partial(serve_boot_files, place)]
        return adapted


ROOM_BYTES = 1 << 40


class SimulatedHost(Host):
    """A machine of the simulated world, as the master asks of it."""

    environment: Mapping[str, str] = {}
    has_threads = False

    def __init__(self, program: Program) -> None:
        self._program = program
        self.clock = Clock(program.loop.time, program.clock.wall)

    def boot_id(self) -> str:
        return self._program.boot_id()

    def random_bytes(self, count: int) -> bytes:
        return self._program.stream("entropy").randbytes(count)

    def engine(self, graph: Graph, restart: int) -> Engine:
        program = self._program
        did = partial(program.outside.watch.engine_did, program)
        engine = program.engine = WatchedEngine(did, graph, self.random_number(), restart)
        return engine

    def free_bytes(self, place: Path) -> int:
        return ROOM_BYTES

    async def fetch(self, url: str, target: Path, most_bytes: int) -> None:
        program = self._program
        try:
            answer = await program.outside.web.download(program.end, program.address, url)
        except OSError as error:
            raise KedgeError(
                "download.failed", "a file did not come", where=url, why=str(error)
            ) from None
        if answer.status != 200 or answer.path is None:
            raise KedgeError("download.refused", f"the answer is {answer.status}", where=url)
        target.write_bytes(answer.path.read_bytes())

    async def run_command(
        self, words: Sequence[str], environment: Mapping[str, str], place: Path, log: Path
    ) -> Ran:
        return await self._program.gates.run(environment, log.stem.rpartition(".")[2])

    def open_store(self, state_dir: Path) -> Store:
        door = StoreDoor(self._program.store, self._program.disk, self._program)
        return cast("Store", door)

    def open_socket(self, address: str, port: int) -> Any:
        network = self._program.outside.network
        return ServerSocket(
            network, (address, port or self._program.next_port()), self._program.heard
        )
