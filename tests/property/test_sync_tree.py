"""A tree of three levels with relays that fail, links that fail and nodes that move: once the faults end, the
root holds what the agents say, and the agents what the root wants.

The relays here do the least that a sub-master does: one packed entry for each node upward, ordered by the
agent's own stamp; configured entries passed on downward; node keys shared. The real ones: `tests/scenarios`.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from kedge.sync.child import Child
from kedge.sync.events import Configured, Discovered, Joined, SessionUp
from kedge.sync.handshake import FEATURES
from kedge.sync.parent import Parent
from kedge.sync.wire import Epoch
from unit.sync.sync_world import World

RELAYS = ("r1", "r2")
AGENTS = ("a0", "a1", "a2", "a3")
SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))


class Tree:
    """A root, two relays, four agents, and everything that can happen to them."""

    def __init__(self, seed: int) -> None:
        rng = self.random = random.Random(seed)
        self.world = World(seed, loss=rng.choice([0.0, 0.1, 0.3]), twice=0.1)
        self.world.delay_s = (0.001, rng.choice([0.002, 0.05, 0.6]))
        self.keys: dict[str, tuple[Epoch, bytes]] = {}
        self.saved: dict[str, bytes] = {}
        self.counters = dict.fromkeys([*AGENTS, *RELAYS], 0)
        self.incarnations = dict.fromkeys(["root", *RELAYS], 0)
        self.wanted: dict[str, bytes] = {}  # behind the number of the change
        self.serial = 0
        self.world.on_event = self.on_event
        self.restart_root()
        for relay in RELAYS:
            self.restart_relay(relay)
        for agent in AGENTS:
            self.reboot(agent)

    def token(self, name: str) -> bytes:
        return random.Random(f"{name} {self.counters[name]}").randbytes(32)

    def parent(self, name: str) -> Parent:
        end = self.world.ends[name]
        assert isinstance(end, Parent)
        return end

    def child(self, name: str) -> Child:
        end = self.world.ends[name]
        assert isinstance(end, Child)
        return end

    # ---- what the processes do with events

    def on_event(self, end: str, event: Any) -> None:
        match event:
            case Joined(node=node, epoch=epoch, node_key=key):
                assert epoch > self.keys.get(node, (Epoch(0, 0), b""))[0], "a token was used twice"
                self.keys[node] = (epoch, key)
                for other in RELAYS if node in AGENTS else ():
                    self.parent(other).know(node, epoch, key)
            case SessionUp():
                self.saved[end] = self.child(end).export(records=end in AGENTS)
            case Discovered(node=node) if end in RELAYS:
                stamp, entries = self.parent(end).held(node)
                values = {name: entry.value.hex() for name, entry in entries.items() if entry.value}
                packed = json.dumps([*stamp.epoch, stamp.version, values]).encode()
                self.child(f"@{end}").set_discovered(node, packed)
                self.world.pump(f"@{end}")
            case Configured(entries=entries) if end.startswith("@"):
                for node, value in entries.items():
                    tenure = Epoch(9, int.from_bytes(value[:4], "big"))  # both relays write alike
                    self.parent(end[1:]).set_configured(node, {"wanted": value[4:]}, tenure)
                self.world.pump(end[1:])

    def view(self, agent: str) -> dict[str, str]:
        """What the root knows of an agent: the newest of what its relays say."""
        said = (self.parent("root").discovered(f"@{relay}").get(agent) for relay in RELAYS)
        return max((json.loads(packed) for packed in said if packed), default=[0, 0, 0, {}])[3]

    # ---- what happens

    def restart_root(self) -> None:
        self.incarnations["root"] += 1
        root = self.world.parent("root", counter=self.incarnations["root"], heartbeat_s=2.0)
        for relay in RELAYS:
            if f"@{relay}" in self.keys:
                root.know(f"@{relay}", *self.keys[f"@{relay}"])
            else:
                self.counters[relay] = 1
                root.admit(f"@{relay}", Epoch(1, 1), self.token(relay), 1e9)
            root.set_configured(f"@{relay}", self.wanted)

    def restart_relay(self, relay: str) -> None:
        self.incarnations[relay] += 1
        features = self.random.choice([0, FEATURES])  # a relay of either release
        below = self.world.parent(
            relay, counter=self.incarnations[relay], heartbeat_s=2.0, features=features
        )
        for agent in AGENTS:
            if agent in self.keys:
                below.know(agent, *self.keys[agent])
            if self.counters[agent] > self.keys.get(agent, (Epoch(0, 0),))[0].counter:
                below.admit(agent, Epoch(1, self.counters[agent]), self.token(agent), 1e9)
        saved = self.saved.get(f"@{relay}")
        self.world.child(
            f"@{relay}", Epoch(1, 1), ("root",), saved=saved, features=features,
            token=None if saved else self.token(relay),
        )  # fmt: skip

    def reboot(self, agent: str) -> None:
        self.counters[agent] += 1
        self.saved.pop(agent, None)
        epoch = Epoch(1, self.counters[agent])
        for relay in RELAYS:
            self.parent(relay).admit(agent, epoch, self.token(agent), 1e9)
        parents = RELAYS if agent in AGENTS[:2] else RELAYS[::-1]
        child = self.world.child(
            agent, epoch, parents, token=self.token(agent), prefer_s=15.0,
            features=self.random.choice([0, FEATURES]),
        )  # fmt: skip
        child.set_discovered("boot", b"%d" % self.counters[agent])

    def act(self) -> None:
        rng, agent = self.random, self.random.choice(AGENTS)
        relay = rng.choice(RELAYS)
        match rng.randrange(9):
            case 0 | 1:
                self.child(agent).set_discovered(f"v{rng.randrange(3)}", rng.randbytes(9))
            case 2 | 3:
                self.serial += 1
                value = rng.randbytes(rng.choice([5, 3000]))
                self.wanted[agent] = self.serial.to_bytes(4, "big") + value
                for each in RELAYS:
                    self.parent("root").set_configured(f"@{each}", self.wanted)
            case 4:
                self.reboot(agent)
            case 5:
                self.restart_relay(relay)
            case 6:
                self.restart_root()
            case 7:
                ends = rng.choice([(agent, relay), (f"@{relay}", "root")])
                self.world.cut.add(ends if rng.random() < 0.5 else ends[::-1])
            case _:
                self.world.cut.clear()
        self.world.run(rng.choice([0.0, 0.01, 0.5, 3.0, 12.0]))

    def converge(self) -> None:
        """The faults end; before long everybody knows everything."""
        self.world.cut.clear()
        self.world.loss = self.world.twice = 0.0
        self.world.run(200.0)
        for agent in AGENTS:
            said = self.child(agent).discovered
            assert self.view(agent) == {n: value.hex() for n, value in said.items()}, agent
            wanted = {"wanted": self.wanted[agent][4:]} if agent in self.wanted else {}
            assert self.child(agent).configured == wanted, agent
            preferred = RELAYS[0] if agent in AGENTS[:2] else RELAYS[1]
            assert self.child(agent).parent == preferred, agent


@pytest.mark.parametrize("seed", range(6 * SCALE))
def test_the_root_comes_to_know_the_leaves_and_they_it(seed: int):
    tree = Tree(seed)
    for _ in range(40):
        tree.act()
    tree.converge()
