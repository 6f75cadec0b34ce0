"""What sub-masters pass on: whatever is lost and whoever begins anew, both records come out equal, and nobody
speaks for another one."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kedge.master.tree.entries import BELOW, CHILD
from kedge.master.tree.master.below import FromBelow
from kedge.master.tree.master.known import SubMaster
from kedge.master.tree.master.ways import Ways
from kedge.master.tree.passing import Admission, PassingDown, PassingUp, Standing, before, written

ABOVE = {"low1": "mid1", "low2": "mid1", "low3": "mid2", "deep": "low1"}
NAMES = ("mid1", "mid2", *ABOVE)
ENTRIES = (
    "health", "lease", "agent/n1", "view/n1",
    # what one could say to speak for others
    "child/low2", "child/low3", "below/low2/health", "below/low3/health", "below/mid2/health", "below//x",
)  # fmt: skip

Record = dict[str, bytes | None]


class Process:
    """A sub-master: its own record (which names its author), what it passes on, and what it was told."""

    def __init__(self, name: str) -> None:
        self.name, self.joined = name, 1
        self.begin(remembers=False)

    def begin(self, *, remembers: bool) -> None:
        """A new process; one that is ``remembers`` has the configured record that was kept."""
        self.up: Record = {}
        self.passing, self.handing = PassingUp(), PassingDown()
        self.kept: Record = self.kept if remembers else {}
        self.keys: dict[str, int] = self.keys if remembers else {}
        self.told: dict[str, Record] = {}
        self.hand(list(self.kept))

    def hand(self, changed: list[str]) -> None:
        entries = {name: raw for name, raw in self.kept.items() if raw is not None}
        changes = {name: entries.get(name) for name in changed}
        for child, told in self.handing.take(entries, changes).items():
            self.told.setdefault(child, {}).update(told)
        for child in self.handing.listed - self.passing.children:
            joined = self.keys.get(child, 0)
            key = b"k" * 32 if joined else b""
            standing = Standing(attached=False, term=1, counter=joined, key=key)
            self.up.update(self.passing.list(child, standing))

    def say(self, entry: str, number: int) -> None:
        _, _, other = entry.partition("/")
        if ABOVE.get(other.partition("/")[0]) == self.name:
            return  # it is trusted with what those below it say: it would lie about its own
        self.up[entry] = f"{self.name}.{self.joined} {number}".encode()


class World:
    """Records go from one to the next whole, late or never; the newest that comes counts."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.processes = {name: Process(name) for name in NAMES}
        self.known: dict[str, Record] = {name: {} for name in NAMES}
        self.wanted: dict[str, Record] = {name: {} for name in NAMES}
        submasters = SimpleNamespace(
            ways=Ways(ABOVE.items()),
            known={name: SubMaster(name, attached=True) for name in NAMES},
            attach=lambda known, attached, why: setattr(known, "attached", attached),
            passages=SimpleNamespace(
                keep_join=lambda known, told: setattr(known, "joined", told.epoch)
            ),
        )
        self.submasters = submasters.known
        permits = SimpleNamespace(open={})
        self.master = FromBelow(cast("Any", submasters), cast("Any", permits), self.anew, self.take)

    def anew(self, known: SubMaster) -> None:
        self.known[known.name].clear()

    def take(self, known: SubMaster, changes: Any) -> None:
        self.known[known.name].update(changes)

    def above(self, name: str) -> Process | None:
        return self.processes.get(ABOVE.get(name, ""))

    def report(self, name: str) -> None:
        """Its discovered record arrives at the next one, or at the master."""
        process, above = self.processes[name], self.above(name)
        if above is None:
            self.master.take(self.submasters[name], process.up)
            return
        standing = Standing(attached=True, term=1, counter=process.joined, key=b"k" * 32)
        joined = process.joined > above.keys.get(name, 0)
        above.keys[name] = process.joined
        above.up.update((above.passing.joined if joined else above.passing.stands)(name, standing))
        above.up.update(above.passing.told(name, process.up))

    def configure(self, name: str) -> None:
        """Its configured record arrives at it."""
        above, process = self.above(name), self.processes[name]
        came = above.told.get(name) if above is not None else self.told(name)
        if came is not None:
            changed = [n for n in {**came, **process.kept} if came.get(n) != process.kept.get(n)]
            process.kept = dict(came)
            process.hand(changed)

    def told(self, name: str) -> Record:
        """What the master writes into the record of one of its own."""
        ways, found = Ways(ABOVE.items()), Record()
        for each in (name, *ways.all_below(name)):
            front = before(ways.way(each))
            found |= {front + entry: raw for entry, raw in self.wanted[each].items()}
            for child in ways.directly_below(each):
                found[front + CHILD + child] = written(Admission(1, 1, key=b"k" * 32))
        return found

    def act(self, number: int) -> None:
        name = self.random.choice(NAMES)
        match self.random.randrange(12):
            case 0 | 1 | 2:
                self.processes[name].say(self.random.choice(ENTRIES), number)
            case 3 | 4 | 5:
                self.report(name)
            case 6 | 7:
                entry = self.random.choice(("common", "lease", "node/n1"))
                self.wanted[name][entry] = f"for {name} {number}".encode()
            case 8 | 9:
                self.configure(name)
            case 10:
                self.processes[name].begin(remembers=True)
            case _ if name in ABOVE:
                self.processes[name].joined += 1
                self.processes[name].begin(remembers=False)
            case _:
                pass

    def check(self) -> None:
        for name, record in self.known.items():
            for entry, raw in record.items():
                author, _, joined = (raw or b"").partition(b" ")[0].decode().partition(".")
                assert raw is None or author == name, (name, entry, raw)
                if (
                    raw is not None and name in ABOVE
                ):  # what a former process said counts for nothing
                    known = self.submasters[name].joined
                    assert known is not None and int(joined) == known.counter, (name, entry, raw)
        for name, process in self.processes.items():
            for entry, raw in process.kept.items():
                if raw is not None and not entry.startswith((BELOW, CHILD)):
                    assert raw.startswith(f"for {name} ".encode()), (name, entry, raw)

    def settle(self) -> None:
        for number in range(8):
            for name in NAMES:
                self.configure(name)
            for name in reversed(NAMES):
                if number == 0:
                    self.processes[name].say("health", 1_000_000)
                self.report(name)


@pytest.mark.parametrize("seed", range(60))
def test_records_converge_and_nobody_speaks_for_another(seed: int) -> None:
    world = World(seed)
    for number in range(200):
        world.act(number)
        world.check()
    world.settle()
    world.check()
    for name, process in world.processes.items():
        own = {
            entry: raw
            for entry, raw in process.up.items()
            if not entry.startswith((BELOW, CHILD)) and raw is not None
        }
        known = {entry: raw for entry, raw in world.known[name].items() if raw is not None}
        assert own.items() <= known.items()
        mine = {
            entry: raw
            for entry, raw in process.kept.items()
            if raw is not None and not entry.startswith((BELOW, CHILD))
        }
        assert mine == world.wanted[name]
