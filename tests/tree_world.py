"""A master, sub-masters and agents on loopback: the production code, with machines that are dictionaries."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from kedge.core.kinds import Enum
from kedge.core.module import Module
from kedge.master.assembly import Master
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.master.serve import running
from kedge.sync.child import Child, ChildOptions
from kedge.sync.wire import Epoch

LEASE_S = 3.0


def site(parents: str = "sm1, sm2", more: str = "") -> dict[str, str]:
    return {
        "site.yaml": f"""
cluster: {{ name: t, domain: t.example }}
networks: {{ provision: {{ cidr: 10.77.0.0/16, gateway: 10.77.0.1 }} }}
groups:
  own: {{ nodes: "m[1-2]" }}
  g: {{ nodes: "n[1-3]", parents: [{parents}] }}
nodes:
  "n[1-3]": {{ addresses: {{ provision: "10.77.1.{{number}}" }} }}
  "m[1-2]": {{ addresses: {{ provision: "10.77.2.{{number}}" }} }}
{more}"""
    }


class Machines:
    """Power by node, who switched it, and who gave leave to boot."""

    def __init__(self) -> None:
        self.power: dict[str, str] = {}
        self.switched: list[tuple[str, str]] = []
        self.tokens: dict[str, tuple[Epoch, bytes, int]] = {}

    def module(self, port: int) -> Module:
        """What a process at this sync port does with the machines."""
        module = Module("box", summary="Machines in a dictionary")
        power = module.variable("power", Enum(("off", "on")), configured=True, default="on")
        stage = module.variable(
            "stage", Enum(("none", "up", "stuck")), configured=True, default="up",
            while_={"box.power": "on"}, initial="none",
        )  # fmt: skip
        module.listens(
            stage, timeout_s=6.0, requires={"box.power": "on"}, on_timeout={stage: "stuck"}
        )

        job = module.variable(
            "job", Enum(("idle", "done")), configured=True,
            while_={"box.stage": "up"}, initial="idle",
        )  # fmt: skip
        module.listens(job, timeout_s=30.0, requires={"box.stage": "up"}, name="hear_job")

        async def work(node: Any, io: Any) -> None:
            io.order(node.name, "box.work", {"pieces": 3})

        module.edge(
            "work", {job: "done"}, where="node", timeout_s=120.0, handler=work,
            requires={job: "idle", "box.stage": "up"}, summary="Work on the node",
        )  # fmt: skip

        @module.discovers(power, every_s=2.0, timeout_s=2.0)
        async def read(node: Any, io: Any) -> None:
            io.observe(node.name, {power.name: self.power.get(node.name, "off")}, by="bmc")

        @module.mutates(power, "off", "on", timeout_s=5.0)
        async def switch_on(node: Any, io: Any) -> None:
            self.switched.append((node.name, "on"))
            self.power[node.name] = "on"

        @module.mutates(power, "on", "off", timeout_s=5.0, destructive=True)
        async def switch_off(node: Any, io: Any) -> None:
            self.switched.append((node.name, "off"))
            self.power[node.name] = "off"

        @module.mutates(stage, "none", "up", requires={"box.power": "on"}, timeout_s=10.0)
        async def load(node: Any, io: Any) -> None:
            io.grant_boot(node.name)
            permit = io.take_permit(node.name)
            epoch = Epoch(*map(int, permit.epoch.split(".")))
            self.tokens[node.name] = (epoch, permit.token, port)

        return module


class LittleAgent(asyncio.DatagramProtocol):
    """An agent: it joins with its token and reports what it is told to."""

    def __init__(self, node: str, epoch: Epoch, token: bytes, parents: list[int]) -> None:
        self.child = Child(
            node, epoch, [("127.0.0.1", port) for port in parents], token=token,
            random_bytes=os.urandom, chance=random.Random(1),
            options=ChildOptions(hello_first_s=0.1, hello_tries=3, prefer_s=3.0, seek_most_s=1.0),
        )  # fmt: skip
        self.events: list[Any] = []
        self.cut: set[int] = set()
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.pump()

    def report(self, **values: Any) -> None:
        self.child.discover(
            {name.replace("__", "."): json.dumps(value).encode() for name, value in values.items()}
        )
        self.pump()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if addr[1] not in self.cut:
            self.child.receive_datagram(data, addr[:2], self.now())
            self.pump()

    def error_received(self, exc: Exception) -> None:
        pass

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def pump(self) -> None:
        while (event := self.child.next_event()) is not None:
            self.events.append(event)
            told = json.loads(self.child.configured.get("parents", b"[]"))
            self.child.set_parents([("127.0.0.1", int(text.rpartition(":")[2])) for text in told])
        for data, address in self.child.datagrams_to_send(self.now()):
            if address[1] not in self.cut:
                self._transport.sendto(data, address)
        if self._timer is not None:
            self._timer.cancel()
        due = self.child.next_timeout()
        if due is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(due, self.now() + 0.001), self.pump)

    def order(self) -> dict[str, Any]:
        """The order that it has been given."""
        return json.loads(self.child.configured.get("order/box.work", b"{}"))

    @property
    def port(self) -> int | None:
        """The port of the parent that it is attached to."""
        return self.child.parent[1] if self.child.parent else None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport.close()


class Cut:
    """A port that leads nowhere."""

    def __init__(self, port: Any) -> None:
        self.port = port

    def send(self, batch: Any) -> None:
        pass

    def close(self) -> None:
        self.port.close()


def cut(end: Any) -> None:
    """Cut a link or an uplink, both ways."""
    pump = end._pump
    pump._port = Cut(pump._port)
    pump._port.port._received = lambda batch: None


def mend(end: Any) -> None:
    pump = end._pump
    pump._port = pump._port.port
    pump._port._received = pump._receive


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class World:
    """Processes by name; each can be ended and started again on its state."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.machines = Machines()
        self.more: list[Module] = []
        """Other modules of every process."""
        self.ports = {name: free_port() for name in ("master", "sm1", "sm2", "sm3")}
        self.up: dict[str, Master] = {}
        self.agents: dict[str, LittleAgent] = {}
        self._stacks: dict[str, AsyncExitStack] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def master(self) -> Master:
        return self.up["master"]

    async def start(self, name: str) -> Master:
        return await self.start_as(name, name)

    async def start_as(self, name: str, place: str) -> Master:
        """Start a process of that name on the state of a ``place``, beside others of its name."""
        settings = Settings(
            self.home / place,
            self.home / place / "api.sock",
            sync_address="127.0.0.1",
            sync_port=self.ports[name],
            sync_advertise="127.0.0.1",
            heartbeat_s=0.5,
            role="master" if name == "master" else "sub-master",
            name="" if name == "master" else name,
            join=None if name == "master" else self.home / f"{name}.join",
            lease_s=LEASE_S,
        )
        stack = AsyncExitStack()
        module = self.machines.module(self.ports[name])
        self.up[place] = await stack.enter_async_context(
            running(settings, [module, *self.more], Host())
        )
        self._stacks[place] = stack
        return self.up[place]

    async def stop(self, name: str) -> None:
        del self.up[name]
        await self._stacks.pop(name).aclose()

    async def kill(self, name: str) -> None:
        """End a process without a good-bye, as far as anybody on the network can see."""
        self.silence(name)
        await self.stop(name)

    def silence(self, name: str) -> None:
        """Nothing that the process sends reaches anybody, and nothing reaches it."""
        cut(self.up[name].link)
        self.cut_uplink(name)

    def cut_uplink(self, name: str) -> None:
        uplink = getattr(self.up[name].operations.tree, "_uplink", None)
        if uplink is not None:
            cut(uplink)

    def mend_uplink(self, name: str) -> None:
        mend(getattr(self.up[name].operations.tree, "_uplink", None))

    def add(self, name: str, below: str | None = None) -> None:
        """``kedge submaster add``."""
        path = self.home / f"{name}.join"
        told = self.master.operations.tree.add(name, below)
        path.touch(mode=0o600)
        path.write_text(json.dumps(told))

    async def boot(self) -> None:
        """Machines boot when they are given leave, for ever."""
        while True:
            for node, (epoch, token, port) in list(self.machines.tokens.items()):
                del self.machines.tokens[node]
                if node in self.agents:
                    self.agents[node].stop()
                others = [p for n, p in self.ports.items() if n != "master" and p != port]
                agent = self.agents[node] = LittleAgent(node, epoch, token, [port, *others])
                await agent.start()
                agent.report(box__stage="up", box__job="idle")
            await asyncio.sleep(0.02)

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["node"]: row for row in self.master.operations.status()}

    def told_orders(self, *nodes: str) -> list[dict[str, Any]]:
        """The orders that the master knows from the owner of these nodes."""
        views = self.master.operations.tree._tree.relayed.views
        raws = [views[n].orders.get("box.work", b"{}") if n in views else b"{}" for n in nodes]
        return [json.loads(raw) for raw in raws]

    def cycles(self) -> list[tuple[str, str]]:
        """Machines that were switched off."""
        return [each for each in self.machines.switched if each[1] == "off"]

    def epochs(self) -> dict[str, Epoch]:
        """The boots of the machines."""
        return {name: agent.child.epoch for name, agent in self.agents.items()}

    def converged(self, *nodes: str) -> bool:
        rows = self.rows()
        return all(
            rows[n]["phase"] == "converged" and rows[n]["symbols"]["box.stage"] == "up"
            for n in nodes
        )

    def owner(self, group: str = "g") -> str:
        return self.master.operations.tree.owner(group)


@asynccontextmanager
async def tree_world(home: Path, *more: Module) -> AsyncGenerator[World]:
    """A master with two sub-masters that were added and are not started."""
    world = World(home)
    world.more = [*more]
    booting = asyncio.create_task(world.boot())
    try:
        await world.start("master")
        world.add("sm1")
        world.add("sm2")
        yield world
    finally:
        booting.cancel()
        for agent in world.agents.values():
            agent.stop()
        for name in list(world.up):
            await world.stop(name)
