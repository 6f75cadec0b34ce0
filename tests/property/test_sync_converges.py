"""Whatever the network, the machines and the clocks do: versions never go back, old boots change
nothing, and once the faults end both ends hold the same."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from kedge.sync.child import Child
from kedge.sync.events import Discovered, Joined, SessionUp
from kedge.sync.parent import Parent
from kedge.sync.wire import Epoch
from unit.sync.sync_world import World


class Site:
    """One head with its store, some nodes, and everything that can happen to them."""

    def __init__(self, seed: int, nodes: int, *, loss: float, twice: float, delay_s: float) -> None:
        self.world = World(seed, loss=loss, twice=twice)
        self.world.delay_s = (0.001, 0.001 + delay_s)
        self.random = random.Random(seed + 1)
        self.nodes = [f"n{number}" for number in range(nodes)]
        self.counters = dict.fromkeys(self.nodes, 0)
        self.configured: dict[str, dict[str, bytes]] = {name: {} for name in self.nodes}
        self.store: dict[str, tuple[Epoch, bytes]] = {}  # the head's: epoch and key
        self.saved: dict[str, bytes] = {}  # the nodes': what they exported
        self.incarnation = 0
        self.ghosts = 0
        self.store_fails = False
        self.marks: dict[Any, Any] = {}
        self.world.on_event = self.on_event
        self.restart_head()
        for name in self.nodes:
            self.reboot(name)

    @property
    def head(self) -> Parent:
        head = self.world.ends["head"]
        assert isinstance(head, Parent)
        return head

    def child(self, name: str) -> Child:
        child = self.world.ends[name]
        assert isinstance(child, Child)
        return child

    def epoch(self, name: str) -> Epoch:
        return Epoch(1, self.counters[name])

    def token(self, name: str) -> bytes:
        return random.Random(f"{name} {self.counters[name]}").randbytes(32)

    # ---- what the callers do with events, and what must hold at each

    def on_event(self, name: str, event: Any) -> None:
        if isinstance(event, Joined):
            if self.store_fails:  # the head dies before it has stored the key
                self.store_fails = False
                self.restart_head()
                return
            assert event.epoch > self.store.get(event.node, (Epoch(0, 0), b""))[0], "token reused"
            self.store[event.node] = (event.epoch, event.node_key)
        elif isinstance(event, Discovered):
            assert event.epoch == self.store[event.node][0], "an old boot was heard"
        elif isinstance(event, SessionUp):
            self.saved[name] = self.world.ends[name].export()
        self.check(name)

    def check(self, name: str) -> None:
        """Versions never go back within an epoch, at either end of a record."""
        end = self.world.ends[name]
        if isinstance(end, Parent):
            for node in end._nodes.values():
                self.rises((end, node.name, node.epoch), node.incoming.stamp)
                self.rises((end, node.name, "out"), node.outgoing.stamp)
        else:
            self.rises((end, "in"), end._incoming.stamp)
            self.rises((end, "out"), end._outgoing.stamp)

    def rises(self, key: Any, value: Any) -> None:
        assert value >= self.marks.get(key, value), f"{key} went back to {value}"
        self.marks[key] = value

    # ---- what happens

    def restart_head(self) -> None:
        self.incarnation += 1
        head = self.world.parent(counter=self.incarnation, heartbeat_s=2.0)
        for name in self.nodes:
            epoch, key = self.store.get(name, (Epoch(0, 0), b""))
            if key:
                head.know(name, epoch, key)
            if self.counters[name] and self.epoch(name) > epoch:
                head.admit(name, self.epoch(name), self.token(name), 1e9)
            head.set_configured(name, self.configured[name])

    def reboot(self, name: str, *, ghost: bool = False) -> None:
        if ghost and name in self.world.ends:  # the old boot goes on somewhere
            self.ghosts += 1
            self.world.ends[f"ghost{self.ghosts}"] = self.world.ends[name]
            self.world.events[f"ghost{self.ghosts}"] = []
        self.counters[name] += 1
        self.head.admit(name, self.epoch(name), self.token(name), 1e9)
        self.saved.pop(name, None)
        child = self.world.child(name, self.epoch(name), token=self.token(name))
        child.set_discovered("boot", b"%d" % self.counters[name])

    def restart_agent(self, name: str) -> None:
        discovered = self.child(name).discovered
        if name in self.saved:
            child = self.world.child(name, saved=self.saved[name])
        else:
            child = self.world.child(name, self.epoch(name), token=self.token(name))
        child.discover({name: None for name in child.discovered if name not in discovered})
        child.discover(discovered)

    def act(self, what: str, name: str, number: int) -> None:
        world = self.world
        if what == "discover":
            value = random.Random(number).randbytes(number % 7000)
            changes: dict[str, bytes | None] = {f"v{number % 4}": value}
            if number % 5 == 0:
                changes = {f"v{number % 3}": None}
            self.child(name).discover(changes)
        elif what == "configure":
            self.configured[name][f"c{number % 4}"] = random.Random(number).randbytes(number % 9000)
            if number % 3 == 0:
                self.configured[name].pop(f"c{number % 2}", None)
            self.head.set_configured(name, self.configured[name])
        elif what == "save":
            if name in self.saved:
                self.saved[name] = self.child(name).export()
        elif what == "reboot":
            self.reboot(name, ghost=number % 2 == 0)
        elif what == "restart agent":
            self.restart_agent(name)
        elif what == "restart head":
            self.restart_head()
        elif what == "store fails":
            self.store_fails = True
        elif what == "cut":
            world.cut.add((name, "head") if number % 2 else ("head", name))
        elif what == "heal":
            world.cut.clear()
        elif what == "clock":
            end = name if number % 3 else "head"
            offset, rate = world.clocks.get(end, (0.0, 1.0))
            here = offset + world.now * rate
            rate = (0.8, 1.0, 1.25)[number % 3]
            world.clocks[end] = (here - world.now * rate + number % 50, rate)
        world.run((0.0, 0.002, 0.5, 3.0, 12.0)[number % 5])

    def converge(self) -> None:
        """The faults end; before long both ends hold the same."""
        self.world.cut.clear()
        self.world.loss = self.world.twice = 0.0
        self.store_fails = False
        self.world.run(150.0)
        for name in self.nodes:
            child = self.child(name)
            assert self.head.is_attached(name), name
            assert self.head.discovered(name) == child.discovered, name
            assert child.configured == self.configured[name], name
            assert child.in_step, name
            assert self.store[name][0] == self.epoch(name), name


ACTIONS = ("discover", "discover", "discover", "configure", "configure", "save", "reboot",
           "restart agent", "restart head", "store fails", "cut", "heal", "clock")  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    nodes=st.integers(1, 3),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    twice=st.sampled_from([0.0, 0.2]),
    delay_s=st.sampled_from([0.0, 0.01, 0.8]),
    acts=st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2), st.integers(0, 20_000)), max_size=25
    ),
)
def test_both_ends_come_to_hold_the_same(
    seed: int,
    nodes: int,
    loss: float,
    twice: float,
    delay_s: float,
    acts: list[tuple[str, int, int]],
):
    site = Site(seed, nodes, loss=loss, twice=twice, delay_s=delay_s)
    for what, place, number in acts:
        note(f"{site.world.now:.3f} {what} {place} {number}")
        site.act(what, site.nodes[place % nodes], number)
    site.converge()


@pytest.mark.parametrize("seed", range(8))
def test_long_lives_of_three_nodes(seed: int):
    rng = random.Random(seed)
    site = Site(seed, 3, loss=0.2, twice=0.1, delay_s=rng.choice([0.0, 0.05, 0.5]))
    for _ in range(100):
        site.act(rng.choice(ACTIONS), rng.choice(site.nodes), rng.randrange(20_000))
    site.converge()
