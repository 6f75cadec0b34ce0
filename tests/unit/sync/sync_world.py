"""A little world for the tests: children and parents on links that lose, repeat and reorder."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from kedge.sync.child import Child, ChildOptions
from kedge.sync.events import Joined, Refused
from kedge.sync.parent import Parent, ParentOptions
from kedge.sync.transfer import Receiving
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch

TOKEN = bytes(range(32))
FIRST = Epoch(1, 1)


class World:
    """Endpoints by address, datagrams in flight, one true time; each endpoint has its own clock."""

    def __init__(self, seed: int = 1, *, loss: float = 0.0, twice: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.loss, self.twice = loss, twice
        self.delay_s = (0.001, 0.002)
        self.now = 0.0
        self.ends: dict[str, Parent | Child] = {}
        self.clocks: dict[str, tuple[float, float]] = {}  # offset and rate
        self.events: dict[str, list[Any]] = {}
        self.cut: set[tuple[str, str]] = set()  # (from, to) that loses everything
        self.flying: list[tuple[float, int, str, str, bytes]] = []
        self.seen: list[tuple[str, str, bytes]] = []  # everything ever sent
        self.serial = 0
        self.on_event: Callable[[str, Any], None] = lambda _name, _event: None

    def clock(self, name: str) -> float:
        offset, rate = self.clocks.get(name, (0.0, 1.0))
        return offset + self.now * rate

    def parent(self, name: str = "head", counter: int = 1, **options: Any) -> Parent:
        parent = Parent(
            incarnation=Epoch(1, counter),
            random_bytes=self.random.randbytes,
            chance=self.random,
            options=ParentOptions(**options),
        )
        self.ends[name] = parent
        self.events.setdefault(name, [])
        return parent

    def child(
        self,
        name: str,
        epoch: Epoch = FIRST,
        parents: tuple[str, ...] = ("head",),
        token: bytes | None = TOKEN,
        address: str | None = None,
        saved: bytes | None = None,
        **options: float,
    ) -> Child:
        if saved is not None:
            child = Child.restore(
                saved, parents, random_bytes=self.random.randbytes, chance=self.random,
                options=ChildOptions(**options),
            )  # fmt: skip
        else:
            child = Child(
                name, epoch, parents, token=token, random_bytes=self.random.randbytes,
                chance=self.random, options=ChildOptions(**options),
            )  # fmt: skip
        self.ends[address or name] = child
        self.events.setdefault(address or name, [])
        return child

    def send(self, source: str, target: str, datagram: bytes) -> None:
        self.seen.append((source, target, datagram))
        assert len(datagram) <= 1200
        if (source, target) in self.cut:
            return
        for _ in range(2 if self.random.random() < self.twice else 1):
            if self.random.random() >= self.loss:
                self.serial += 1
                at = self.now + self.random.uniform(*self.delay_s)
                heapq.heappush(self.flying, (at, self.serial, source, target, datagram))

    def pump(self, name: str) -> None:
        end = self.ends[name]
        while (event := end.next_event()) is not None:
            self.events[name].append(event)
            self.on_event(name, event)
        if self.ends.get(name) is not end:
            return
        for datagram, address in end.datagrams_to_send(self.clock(name)):
            self.send(name, address, datagram)

    def wake_at(self, name: str) -> float:
        at = self.ends[name].next_timeout()
        if at is None:
            return float("inf")
        offset, rate = self.clocks.get(name, (0.0, 1.0))
        return max(self.now, (at - offset) / rate)

    def step(self, until: float) -> bool:
        """The next thing that happens, if it happens before ``until``."""
        woken = min(self.ends, key=self.wake_at, default=None)
        wake_at = self.wake_at(woken) if woken is not None else float("inf")
        fly_at = self.flying[0][0] if self.flying else float("inf")
        at = min(wake_at, fly_at)
        if at > until:
            self.now = until
            return False
        self.now = max(self.now, at)
        if fly_at <= wake_at:
            _, _, source, target, datagram = heapq.heappop(self.flying)
            if target in self.ends:
                end = self.ends[target]
                if isinstance(end, Parent):
                    end.receive([(datagram, source)], self.clock(target))
                else:
                    end.receive_datagram(datagram, source, self.clock(target))
                self.pump(target)
        else:
            assert woken is not None
            before = self.now
            self.now += 1e-6  # so that rounding of the clocks cannot hold the world
            self.pump(woken)
            self.now = max(before, self.now)
        return True

    def run(self, seconds: float, most: int = 200_000) -> int:
        """Let time pass; says how many things happened."""
        until = self.now + seconds
        for name in list(self.ends):
            self.pump(name)
        count = 0
        while self.step(until):
            count += 1
            assert count < most, "the world is spinning"
        return count

    def took(self, name: str, kind: type) -> list[Any]:
        """The events of one kind at one end."""
        return [event for event in self.events[name] if isinstance(event, kind)]


def said_by(receiver: Receiving) -> pb.FragmentAck:
    """What the receiver of a transfer acknowledges."""
    ack = pb.FragmentAck()
    receiver.acknowledge(ack)
    return ack


def joined_world(**options: float) -> World:
    """A parent and a child that has joined it, reported, and been configured."""
    world = World()
    parent = world.parent(**options)
    parent.admit("n1", FIRST, TOKEN, 100.0)
    parent.set_configured("n1", {"node": b"{}"})
    world.child("n1").set_discovered("boot.stage", b'"layer0"')
    world.run(1.0)
    assert len(world.took("head", Joined)) == 1
    return world


def reasons(world: World, name: str = "head") -> list[str]:
    """Why ``name`` was refused, or refused others."""
    return [event.reason for event in world.took(name, Refused)]
