"""A simulated head: the production master on a machine, a network and a disk of the simulated world.

Everything from the API's operations down to the modules' handlers is the code that runs in production.
Replaced are what opens sockets (the sync's and the boot server's), the database's door, and chance.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from aiohttp import web

from kedge.core.engine.engine import Engine
from kedge.core.events import Effect, Event, Many, each
from kedge.core.graph import Graph
from kedge.core.kinds import Value
from kedge.core.module import Module
from kedge.master.clock import Clock
from kedge.master.host import Host
from kedge.master.serve import Master, running
from kedge.master.settings import Settings
from kedge.modules.boot.http import BootServer
from kedge.modules.boot.notes import Notes
from kedge.modules.boot.place import boot_settings, find_place
from kedge.modules.port import Io
from kedge.sim.clock import MachineClock
from kedge.sim.loop import Loop
from kedge.sim.network import Network
from kedge.sim.sockets import ServerSocket
from kedge.sim.store import Disk, StoreDoor
from kedge.sim.web import Answer, Server, Web
from kedge.sim.world import World
from kedge.stores.port import Store

SITE_LOOK_S = 5.0


class Watcher(Protocol):
    """Who sees everything that a head does."""

    def engine_did(self, program: Program, effects: list[Effect]) -> None: ...
    def bug(self, program: Program, what: str, error: BaseException | None) -> None: ...
    def script_given(self, program: Program, mac: str, answer: Answer) -> None: ...


@dataclass(frozen=True)
class Outside:
    """What all heads share."""

    world: World
    network: Network
    web: Web
    watch: Watcher
    modules: tuple[Module, ...]
    sizes: Mapping[str, int]


class Program:
    """``kedge serve`` on one machine, started and ended as the world likes."""

    def __init__(
        self,
        outside: Outside,
        end: str,
        *,
        address: str,
        state_dir: Path,
        store: Store,
        settings: Mapping[str, Mapping[str, Value]],
        heartbeat_s: float = 10.0,
        rate: float = 1.0,
    ) -> None:
        self.outside = outside
        self.end = end
        self.address = address
        self.state_dir = state_dir
        self.store = store
        self.disk = Disk()
        self.clock = MachineClock(outside.world.time, start=1000.0, rate=rate)
        self.master: Master | None = None
        self.starts = 0
        self.loop = self._new_loop()
        self.loop.kill()
        self._stopping = asyncio.Event()
        self._settings = Settings(
            state_dir=state_dir,
            api_socket=state_dir / "api.sock",
            sync_address=address,
            heartbeat_s=heartbeat_s,
            sections=settings,
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.loop.alive

    def stream(self, name: str) -> random.Random:
        """A stream of chance of this machine's own."""
        return self.outside.world.streams(f"{self.end} {name}")

    # ---- what the world does to it

    def start(self) -> None:
        """Start the process, if it does not run."""
        if not self.loop.alive:
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
        self.loop.kill()

    def ask(self, question: Callable[[Master], object]) -> None:
        """Have something asked of the running master, inside its process."""

        def inside() -> None:
            if self.master is not None:
                question(self.master)

        self.loop.enter(inside)

    def _new_loop(self) -> Loop:
        def told(message: str, error: BaseException | None) -> None:
            self.outside.watch.bug(self, message, error)

        loop = Loop(self.outside.world, self.end, self.clock, told)
        lanes = self.stream("worker threads")
        loop.blocking_s = lambda: lanes.uniform(0.0005, 0.02)
        return loop

    async def _serve(self) -> None:
        modules = [self._adapted(module) for module in self.outside.modules]
        async with running(self._settings, modules, SimulatedHost(self)) as master:
            self.master = master
            await self._stopping.wait()
        self.kill()

    def _adapted(self, module: Module) -> Module:
        """The module itself, but for services that open sockets."""
        if module.name != "boot":
            return module
        adapted = copy.copy(module)
        adapted.services = [self._serve_boot_files]
        return adapted

    # ---- its boot server

    async def _serve_boot_files(self, io: Io) -> None:
        """Stands for the boot module's services: the production request handlers, without a socket."""
        loop = asyncio.get_running_loop()
        settings = boot_settings(io)
        while True:
            while settings.network not in io.site.networks:
                await asyncio.sleep(SITE_LOOK_S)
            place = find_place(io.site, settings)
            chance = self.stream("boot server")
            server = BootServer(io, settings, place, Notes(io, loop.time), chance)
            answering = _Answering(self, server)
            address = (place.address, settings.http_port)
            self.outside.web.listen(address, Server(self.loop, answering.answer))
            while io.site.networks.get(settings.network) == place.described:
                await asyncio.sleep(SITE_LOOK_S)


class SimulatedHost(Host):
    """A machine of the simulated world, as the master asks of it."""

    environment: Mapping[str, str] = {}

    def __init__(self, program: Program) -> None:
        self._program = program
        self.clock = Clock(program.loop.time, program.clock.wall)

    def random_bytes(self, count: int) -> bytes:
        return self._program.stream("entropy").randbytes(count)

    def engine(self, graph: Graph, restart: int) -> Engine:
        return WatchedEngine(self._program, graph, self.random_number(), restart)

    def open_store(self, state_dir: Path) -> Store:
        door = StoreDoor(self._program.store, self._program.disk, self._program)
        return cast("Store", door)

    def open_socket(self, address: str, port: int) -> Any:
        return ServerSocket(self._program.outside.network, (address, port))


class WatchedEngine(Engine):
    """The production engine, whose effects are looked at before anybody carries them out."""

    def __init__(self, program: Program, graph: Graph, seed: int, restart: int) -> None:
        super().__init__(graph, seed=seed, restart=restart)
        self._program = program

    def advance(self, events: Iterable[Event], now: float) -> list[Effect | Many]:
        found = super().advance(events, now)
        single: list[Effect] = []
        for effect in found:
            single += each(effect) if isinstance(effect, Many) else (effect,)
        if single:
            self._program.outside.watch.engine_did(self._program, single)
        return found


class _Request(NamedTuple):
    """What the boot server's handlers read of a request."""

    match_info: Mapping[str, str]
    remote: str


class _Answering:
    """Turns a path into the call of a handler, and what it returns into an answer."""

    def __init__(self, program: Program, server: BootServer) -> None:
        self._program = program
        self._server = server

    async def answer(self, path: str, remote: str) -> Answer:
        _, kind, name = path.split("/", 2)
        keys = {"boot": "mac", "blobs": "digest", "firmware": "name"}
        asked = cast("web.Request", _Request({keys[kind]: name}, remote))
        server = self._server
        handlers = {
            "boot": server.give_script,
            "blobs": server.give_blob,
            "firmware": server.give_firmware,
        }
        try:
            response = await handlers[kind](asked)
        except web.HTTPException as refused:
            return Answer(refused.status)
        if isinstance(response, web.Response):
            answer = Answer(response.status, response.text or "")
            self._program.outside.watch.script_given(self._program, name, answer)
            return answer
        return Answer(response.status, "", self._program.outside.sizes.get(name, 1000))
