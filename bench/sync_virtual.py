"""How fast a change passes through a tree of depth three, in virtual time, and what it costs.

A root, ten sub-masters, two hundred below them, five hundred agents below each of those: production
parents and children all of them, with a relay between that does nothing but pass on. Links take 0.2 to
1 ms a way; the time that code takes does not exist here (`receive` and `heartbeats` measure it). Since
no agent's traffic meets another subtree's, the subtrees are played one after another, each with the
times at which its sub-master came to know: the result is that of one world, the memory is not. Key
agreement, which costs no virtual time either, is replaced by a hash.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any

from sync_head import token

from kedge.sync import keys
from kedge.sync.child import Child
from kedge.sync.events import Configured, Discovered
from kedge.sync.keys import SessionKeys
from kedge.sync.parent import Parent
from kedge.sync.wire import Epoch

DELAY_S = (0.0002, 0.001)
ENTRY_BYTES = 200
TOP, MIDDLE = 10, 20

Say = Callable[[str], None]


class World:
    """Ends, datagrams in flight, timers, one clock."""

    def __init__(self, seed: int, loss: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.now = 0.0
        self.ends: dict[str, Parent | Child] = {}
        self.told: dict[str, Callable[[Any], None]] = {}
        self.datagrams = self.bytes = 0
        self._due: dict[str, float] = {}
        self._queue: list[tuple[float, int, str, str, bytes]] = []
        self._serial = 0

    def parent(self, name: str, told: Callable[[Any], None]) -> Parent:
        parent = Parent(
            incarnation=Epoch(1, 1), random_bytes=self.random.randbytes, chance=self.random
        )
        self.ends[name], self.told[name] = parent, told
        return parent

    def child(self, name: str, parent: str, told: Callable[[Any], None]) -> Child:
        above = self.ends[parent]
        assert isinstance(above, Parent)
        above.admit(name, Epoch(1, 1), token(name), 1e9)
        child = Child(
            name, Epoch(1, 1), [parent], token=token(name),
            random_bytes=self.random.randbytes, chance=self.random,
        )  # fmt: skip
        self.ends[name], self.told[name] = child, told
        return child

    def pump(self, name: str) -> None:
        """Take the events of an end, send what it has to send, note when it wants to be woken."""
        end = self.ends[name]
        while (event := end.next_event()) is not None:
            self.told[name](event)
        for datagram, address in end.datagrams_to_send(self.now):
            self.datagrams += 1
            self.bytes += len(datagram) + 28  # with the headers of IP and UDP
            if self.random.random() >= self.loss:
                self._push(self.now + self.random.uniform(*DELAY_S), address, name, datagram)
        at = end.next_timeout()
        if at is not None and at != self._due.get(name):
            self._due[name] = at
            self._push(at, name, "", b"")

    def _push(self, at: float, target: str, source: str, datagram: bytes) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (at, self._serial, target, source, datagram))

    def run(self, until_s: float) -> None:
        while self._queue and self._queue[0][0] <= until_s:
            at, _, target, source, datagram = heapq.heappop(self._queue)
            end = self.ends[target]
            if not source:
                if self._due.get(target) != at:
                    continue
                self._due[target] = -1.0
            self.now = max(self.now, at)
            if source and isinstance(end, Parent):
                end.receive([(datagram, source)], self.now)
            elif source:
                end.receive_datagram(datagram, source, self.now)
            self.pump(target)
        self.now = until_s


def measure(say: Say, *, agents: int = 100_000, loss: float = 0.0) -> dict[str, Any]:
    """Down and up."""
    derive, pair = keys.derive, keys.new_key_pair
    keys.derive, keys.new_key_pair = _derive, _new_key_pair  # type: ignore[assignment]
    try:
        each = agents // (TOP * MIDDLE)
        say("the root and the sub-masters")
        known, spent = _upper(each, loss)
        times: list[float] = []
        for number, at in enumerate(known):
            if number % 20 == 0:
                say(f"{number * each} agents of {agents}")
            leaf = _leaf(number, each, loss)
            times += [at + after for after in leaf[0]]
            spent = (spent[0] + leaf[1][0], spent[1] + leaf[1][1])
        say("changes from leaves to the root")
        return {
            "agents": len(times),
            "loss": loss,
            "down": {**_spread(times), "datagrams": spent[0], "bytes": spent[1]},
            "up": _upward(each, loss),
        }
    finally:
        keys.derive, keys.new_key_pair = derive, pair


def _upper(each: int, loss: float) -> tuple[list[float], tuple[int, int]]:
    """Change every node's entry at the root; when each lower sub-master knows all of its nodes'."""
    world = World(1, loss)
    root = world.parent("root", lambda _event: None)
    known: dict[str, float] = {}
    records: dict[str, dict[str, bytes]] = {}
    for top in range(TOP):
        name = f"t{top}"
        lower = {
            f"n{top}-{middle}-{node}": f"{name}-{middle}"
            for middle in range(MIDDLE)
            for node in range(each)
        }
        relay = world.parent(f"{name}/down", lambda _event: None)

        def pass_on(event: Any, relay: Parent = relay, lower: dict[str, str] = lower) -> None:
            if isinstance(event, Configured):
                sorted_: dict[str, dict[str, bytes | None]] = {}
                for node, value in event.changed.items():
                    sorted_.setdefault(lower[node], {})[node] = value
                for target, changes in sorted_.items():
                    relay.change_configured(target, changes)

        world.child(name, "root", pass_on)
        records[name] = dict.fromkeys(lower, b"-" * ENTRY_BYTES)
        for middle in range(MIDDLE):
            leaf = f"{name}-{middle}"

            def note(event: Any, leaf: str = leaf) -> None:
                if isinstance(event, Configured):
                    known[leaf] = world.now

            world.child(leaf, f"{name}/down", note)
    for name, record in records.items():
        root.set_configured(name, record)
    _settle(world, 8.0)
    before, began = (world.datagrams, world.bytes), world.now
    known.clear()
    for name, record in records.items():
        root.set_configured(name, {node: world.random.randbytes(ENTRY_BYTES) for node in record})
    world.pump("root")
    _pumping(world, 8.0)
    if len(known) != TOP * MIDDLE:
        raise SystemExit(f"only {len(known)} of {TOP * MIDDLE} sub-masters were configured")
    spent = (world.datagrams - before[0], world.bytes - before[1])
    return [at - began for at in known.values()], spent


def _pumping(world: World, for_s: float) -> None:
    """Run; what a relay has taken in goes on within a tenth of a millisecond."""
    relays = [name for name in world.ends if name.endswith("/down")]
    end = world.now + for_s
    while world.now < end:
        world.run(min(end, world.now + 0.0005))
        for name in relays:
            world.pump(name)


def _settle(world: World, for_s: float) -> None:
    for name in list(world.ends):
        world.pump(name)
    _pumping(world, for_s)


def _leaf(number: int, each: int, loss: float) -> tuple[list[float], tuple[int, int]]:
    """A sub-master configures its agents anew; after how long each of them knows, and what it took."""
    world = World(100 + number, loss)
    times: list[float] = []
    parent = world.parent("sm", lambda _event: None)
    for node in range(each):

        def note(event: Any) -> None:
            if isinstance(event, Configured):
                times.append(world.now)

        world.child(f"n{node}", "sm", note)
        parent.set_configured(f"n{node}", {"node": b"-" * ENTRY_BYTES})
    _settle(world, 3.0)
    before, began = (world.datagrams, world.bytes), world.now
    times.clear()
    for node in range(each):
        parent.change_configured(f"n{node}", {"node": world.random.randbytes(ENTRY_BYTES)})
    world.pump("sm")
    world.run(world.now + 4.0)
    if len(times) != each:
        raise SystemExit(f"{len(times)} of {each} agents were configured")
    spent = (world.datagrams - before[0], world.bytes - before[1])
    return [at - began for at in times], spent


def _upward(each: int, loss: float, changes: int = 1000) -> dict[str, Any]:
    """Values change on random agents of one path to the root, while all heartbeats go on."""
    world = World(2, loss)
    began: dict[str, float] = {}
    times: list[float] = []

    def arrived(event: Any) -> None:
        if isinstance(event, Discovered):
            for name in event.changes:
                if name in began:
                    times.append(world.now - began.pop(name))

    world.parent("root", arrived)
    top, middle = _relay(world, "t", "root"), _relay(world, "t-m", "t/down")
    top.discover({f"other{n}": b"-" * ENTRY_BYTES for n in range(each * (MIDDLE - 1))})
    middle.discover({f"n{n}": b"-" * ENTRY_BYTES for n in range(each)})
    agents = [world.child(f"n{n}", "t-m/down", lambda _event: None) for n in range(each)]
    _settle(world, 8.0)
    quiet_began = (world.datagrams, world.bytes)
    world.run(world.now + 60.0)
    quiet = (world.datagrams - quiet_began[0], world.bytes - quiet_began[1])
    before = (world.datagrams, world.bytes)
    for turn in range(changes):
        node = world.random.randrange(each)
        began[f"n{node}"] = world.now
        agents[node].set_discovered("v", b"%d" % turn)
        world.pump(f"n{node}")
        world.run(world.now + 0.06)
    minutes = changes * 0.06 / 60.0
    spent = (world.datagrams - before[0], world.bytes - before[1])
    return {
        "changes": len(times),
        **_spread(times),
        "datagrams_a_change": round((spent[0] - quiet[0] * minutes) / changes, 1),
        "bytes_a_change": round((spent[1] - quiet[1] * minutes) / changes),
    }


def _relay(world: World, name: str, above: str) -> Child:
    """A sub-master that packs each node's record into one entry of its own."""
    up: list[Child] = []

    def pass_on(event: Any) -> None:
        if isinstance(event, Discovered):
            if event.node.startswith("t"):
                up[0].discover(event.changes)
            else:
                packed = b"".join(value or b"" for value in event.changes.values())
                up[0].discover({event.node: packed.ljust(ENTRY_BYTES, b"-")})
            world.pump(name)

    world.parent(f"{name}/down", pass_on)
    up.append(world.child(name, above, lambda _event: None))
    return up[0]


def _spread(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
        "last_ms": round(ordered[-1] * 1000, 2),
    }


def _new_key_pair(random_bytes: Callable[[int], bytes]) -> tuple[bytes, bytes]:
    return b"", random_bytes(32)


def _derive(
    secret: bytes, _private: bytes, _public: bytes, hello: bytes, welcome: bytes
) -> SessionKeys:
    return SessionKeys(
        *(hashlib.sha256(bytes([n]) + secret + hello + welcome).digest() for n in range(4))
    )


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(measure(lambda text: print(text, file=sys.stderr), agents=int(sys.argv[1]))))
