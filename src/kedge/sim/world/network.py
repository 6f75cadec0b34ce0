"""The simulated networks: who reaches whom, how late, how surely, and what is cut.

An *end* is anything with a name that sends or receives: ``head``, ``n1``, ``n1.bmc``. A *condition* is a
fault of the links from some ends to some others, in that direction only; conditions add up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kedge.sim.world.time import World

Address = tuple[str, int]
Receive = Callable[[bytes, Address], None]


class Condition(NamedTuple):
    """What is wrong with the links ``source`` to ``target`` (sets of ends). ``loss``, ``twice`` and
    ``late`` are shares of datagrams; a late one takes up to ``late_s`` longer, and so is overtaken."""

    source: frozenset[str]
    target: frozenset[str]
    cut: bool = False
    loss: float = 0.0
    twice: float = 0.0
    delay_s: float = 0.0
    late: float = 0.0
    late_s: float = 2.0


class Quality(NamedTuple):
    """What a link is like now."""

    cut: bool
    loss: float
    twice: float
    delay_s: float
    late: float
    late_s: float


GOOD = Quality(False, 0.0, 0.0, 0.0, 0.0, 0.0)


class Network:
    """All links. Every directed link has its own stream of chance."""

    def __init__(self, world: World, *, delay_s: tuple[float, float] = (0.0002, 0.002)) -> None:
        self._world = world
        self._delay_s = delay_s
        self._conditions: list[Condition] = []
        self._qualities: dict[tuple[str, str], Quality] = {}
        self._ends: dict[str, str] = {}
        self._open: dict[Address, Receive] = {}
        self.sent = 0
        self.sent_bytes = 0

    # ---- who is where

    def place(self, address: str, end: str) -> None:
        """An IP address belongs to an end."""
        self._ends[address] = end

    def end_at(self, address: str) -> str:
        """The end at an address; raises `OSError` where nobody is."""
        end = self._ends.get(address)
        if end is None:
            raise OSError(f"no route to {address}")
        return end

    def open(self, address: Address, receive: Receive) -> None:
        """Datagrams to ``address`` go to ``receive`` from now on."""
        self._open[address] = receive

    def close(self, address: Address, receive: Receive) -> None:
        """They no longer do."""
        if self._open.get(address) == receive:
            del self._open[address]

    # ---- what is wrong

    def begin(self, condition: Condition) -> None:
        """A condition sets in."""
        self._conditions.append(condition)
        self._qualities.clear()

    def end(self, condition: Condition) -> None:
        """It is over."""
        self._conditions.remove(condition)
        self._qualities.clear()

    def quality(self, source: str, target: str) -> Quality:
        """What the link from ``source`` to ``target`` is like now."""
        if not self._conditions:
            return GOOD
        known = self._qualities.get((source, target))
        if known is None:
            found = GOOD
            for condition in self._conditions:
                if source in condition.source and target in condition.target:
                    found = _worse(found, condition)
            known = self._qualities[source, target] = found
        return known

    # ---- what travels

    def send(self, source: Address, target: Address, datagram: bytes) -> None:
        """A datagram sets out; it may arrive never, once or twice, and in any order."""
        self.sent += 1
        self.sent_bytes += len(datagram)
        left, right = self._ends.get(source[0]), self._ends.get(target[0])
        if left is None or right is None:
            return
        quality = self.quality(left, right)
        if quality.cut:
            return
        chance = self._world.streams(f"link {left} > {right}")
        for _ in range(2 if quality.twice and chance.random() < quality.twice else 1):
            if quality.loss and chance.random() < quality.loss:
                continue
            delay_s = chance.uniform(*self._delay_s) + quality.delay_s
            if quality.late and chance.random() < quality.late:
                delay_s += chance.uniform(0.0, quality.late_s)
            self._world.after(delay_s, self._arrive, source, target, datagram)

    def _arrive(self, source: Address, target: Address, datagram: bytes) -> None:
        receive = self._open.get(target)
        if receive is not None:
            receive(datagram, source)

    def round_trip_s(self, left: str, right: str) -> float | None:
        """How long a question over a connection and its answer take now; None: no way through.

        A connection repeats what is lost, so loss makes it slow (a second for each time), not wrong.
        """
        total_s = 0.0
        for source, target in ((left, right), (right, left)):
            quality = self.quality(source, target)
            if quality.cut or quality.loss >= 1.0:
                return None
            chance = self._world.streams(f"connection {source} > {target}")
            total_s += chance.uniform(*self._delay_s) + quality.delay_s
            while quality.loss and chance.random() < quality.loss:
                total_s += 1.0
        return total_s


def _worse(quality: Quality, by: Condition) -> Quality:
    return Quality(
        quality.cut or by.cut,
        1.0 - (1.0 - quality.loss) * (1.0 - by.loss),
        max(quality.twice, by.twice),
        quality.delay_s + by.delay_s,
        max(quality.late, by.late),
        max(quality.late_s, by.late_s),
    )
