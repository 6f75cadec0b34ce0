"""A world for modules' tests: `FakeIo` does what `kedge.modules.port.Io` says, and remembers it.

Nothing here pretends to be a device: BMCs, servers and files are real ones that the test starts.
Threads, lanes and supervision are real too. Use it as an async context manager, so that services and
their processes end with the test:

    async with FakeIo(site, tmp_path) as io:
        await serve(io)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from kedge.core.kinds import Value
from kedge.core.module import Module
from kedge.core.node import Configuration, Observation
from kedge.lib.errors import KedgeError
from kedge.modules.port import ImageClaim
from kedge.site.model import Cluster, Network, Site

T = TypeVar("T")


@dataclass
class FakeNode:
    """A node with both views; ``defaults`` are those of the declared variables."""

    configuration: Configuration
    discovered: dict[str, Observation] = field(default_factory=dict)
    defaults: Mapping[str, Value] = field(default_factory=dict)
    refined: dict[str, Value] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.configuration.name

    def configured(self, variable: str) -> Value:
        values = self.configuration.values
        return self.refined.get(variable, values.get(variable, self.defaults.get(variable)))

    def seen(self, variable: str) -> Value:
        observation = self.discovered.get(variable)
        return observation.value if observation else None


@dataclass(frozen=True)
class FakePermit:
    """A permit as the engine would grant it."""

    node: str
    epoch: str
    token: bytes
    given: bool = False


@dataclass(frozen=True)
class Event:
    """One entry of the event log."""

    node: str
    what: str
    subject: str
    cause: str


class FakeIo:
    """The door to the world, with everything that went through it kept in public attributes."""

    def __init__(
        self,
        site: Site | None = None,
        state_dir: Path = Path("/nonexistent"),
        *,
        modules: tuple[Module, ...] = (),
        settings: Mapping[str, Mapping[str, Value]] | None = None,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._modules = modules
        self._settings = dict(settings or {})
        self._secrets = dict(secrets or {})
        self._state_dir = state_dir
        self._pool = ThreadPoolExecutor(64, thread_name_prefix="lane")
        self._lanes: dict[str, asyncio.Lock] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._counter = 0
        self._changed = asyncio.Event()
        self.fake_nodes: dict[str, FakeNode] = {}
        self.observations: list[tuple[str, dict[str, Value], str]] = []
        self.strangers: dict[str, dict[str, Value]] = {}
        self.orders: list[tuple[str, str, dict[str, Value]]] = []
        self.records: dict[tuple[str, str], Value] = {}
        self.permits: dict[str, FakePermit] = {}
        self.promised: dict[str, tuple[str, ...]] = {}
        self.claims: list[ImageClaim] = []
        self.events: list[Event] = []
        self.degradations: dict[str, str] = {}
        self.published: list[tuple[str, dict[str, Value]]] = []
        self.failures: dict[str, list[BaseException]] = {}
        self.configure(site or Site(Cluster("test")))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all that was spawned and wait for it; threads end by their calls' own time-outs."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def configure(self, site: Site) -> None:
        """Apply another site; discovered values stay."""
        defaults = {v.name: v.default for m in self._modules for v in m.variables}
        seen = {name: node.discovered for name, node in self.fake_nodes.items()}
        self._site = site
        self.fake_nodes = {
            name: FakeNode(configuration, seen.get(name, {}), defaults)
            for name, configuration in site.nodes.items()
        }

    async def until(self, condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Wait until ``condition`` holds; asked again at every change and at least every 50 ms."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    # From here on: kedge.modules.port.Io

    above = None
    peers = None

    def parents(self, node: str) -> tuple[str, ...]:
        return ()

    def is_peer(self, address: str) -> bool:
        return False

    @property
    def site(self) -> Site:
        return self._site

    @property
    def state_dir(self) -> Path:
        return self._state_dir

    def settings(self, module: str) -> Mapping[str, Value]:
        return self._settings.get(module, {})

    def now(self) -> float:
        return time.time()

    def node(self, name: str) -> FakeNode | None:
        return self.fake_nodes.get(name)

    def nodes(self) -> Mapping[str, FakeNode]:
        return self.fake_nodes

    def observe(self, node: str, values: Mapping[str, Value], *, by: str = "") -> None:
        self.observations.append((node, dict(values), by))
        for name, value in values.items():
            self.fake_nodes[node].discovered[name] = Observation(value, self.now(), by)
        self._changed.set()

    def refine(self, node: str, variable: str, value: Value) -> None:
        self.fake_nodes[node].refined[variable] = value

    def observe_stranger(self, mac: str, facts: Mapping[str, Value]) -> None:
        self.strangers.setdefault(mac, {}).update(facts)
        self._changed.set()

    def secret(self, name: str) -> Mapping[str, str]:
        if name not in self._secrets:
            raise KedgeError("secret.missing", f"there is no secret {name!r}")
        return self._secrets[name]

    async def blocking(self, lane: str, call: Callable[..., T], *args: Any, timeout_s: float) -> T:
        async with asyncio.timeout(timeout_s):
            lock = self._lanes.setdefault(lane, asyncio.Lock())
            await lock.acquire()
            future = asyncio.get_running_loop().run_in_executor(self._pool, call, *args)
            future.add_done_callback(lambda done: (lock.release(), done.exception()))
            return await asyncio.shield(future)

    def order(self, node: str, mutation: str, args: Mapping[str, Value]) -> None:
        self.orders.append((node, mutation, dict(args)))
        self._changed.set()

    def grant_boot(self, node: str) -> None:
        self._counter += 1
        token = self._counter.to_bytes(32, "big")
        self.permits[node] = FakePermit(node, f"1.{self._counter}", token)

    def take_permit(self, node: str, blobs: Collection[str] = ()) -> FakePermit | None:
        permit = self.permits.get(node)
        if permit is None or permit.given:
            return None
        self.promised[node] = tuple(blobs)
        self.permits[node] = FakePermit(permit.node, permit.epoch, permit.token, given=True)
        return permit

    def promised_blobs(self) -> frozenset[str]:
        return frozenset(digest for blobs in self.promised.values() for digest in blobs)

    def image_claims(self) -> Sequence[ImageClaim]:
        return self.claims

    def revoke_boot(self, node: str) -> None:
        self.permits.pop(node, None)
        self.promised.pop(node, None)

    def put_record(self, node: str, name: str, value: Value) -> None:
        self.records[node, name] = value

    def event(self, node: str, what: str, subject: str, cause: str) -> None:
        self.events.append(Event(node, what, subject, cause))
        self._changed.set()

    def degraded(self, name: str, why: str) -> None:
        self.degradations[name] = why

    def publish(self, topic: str, message: Mapping[str, Value]) -> None:
        self.published.append((topic, dict(message)))

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        earlier = self._tasks.get(name)
        if earlier is not None:
            earlier.cancel()
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=name)

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run, note what failed in ``failures``, and run again soon."""
        while True:
            try:
                await work()
                return
            except (KedgeError, OSError, TimeoutError) as error:
                self.failures.setdefault(name, []).append(error)
                self._changed.set()
            await asyncio.sleep(0.2)


def one_network_site(
    nodes: Mapping[str, Configuration], *, cidr: str = "10.77.0.0/16", gateway: str = ""
) -> Site:
    """A site with the provision network and these nodes."""
    provision = Network("provision", cidr, gateway=gateway)
    return Site(Cluster("test", "test.example"), {"provision": provision}, nodes=nodes)
