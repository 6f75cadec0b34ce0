"""One pool of a budget in parts: how much of its limit each owner of nodes may use now. Pure arithmetic.

The **arbiter** (the master) gives each owner a *share*: ``most`` units while the owner's lease holds, and
``alone`` units when it has run out, as nobody may be there then to ask. What the arbiter tells is numbered.
An owner that has taken over a share says so with its number, and with what it uses at that moment.

The arbiter's **ledger** says of each owner the most that it may be using: the greatest ``most`` of all that
it was told since what it last confirmed, and what it said that it uses, if that is more. Why no more than
the limit L is ever taken, whatever is lost, late or cut off:

- A share grows only out of what is free: L less all that the ledger says, less what the arbiter's own
  engine uses. It counts as the owner's from the moment when it is told.
- A share that was told to be smaller counts as before until the owner confirms that very number; what it
  then still uses counts until it says that it is over.
- An owner that is silent has ``alone`` units left once its lease is over by its own clock (`Tenure`), and
  what it began before has ended. Only then, by the arbiter's clock, the rest is free (`gone_s`). Nodes
  that it took out of service may still be out: for as long as nobody else sees them, they count.

A limit that was made smaller holds as soon as the owners have confirmed it, as in one engine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kedge.core.lease import MASTER, LeaseTerms


class Share(NamedTuple):
    """What an owner may use: while its lease holds, and without one. ``serial`` is this telling's own."""

    serial: int
    most: int
    alone: int


class Demand(NamedTuple):
    """How much of a pool is used, and how much waited for."""

    used: int = 0
    waiting: int = 0


NOTHING, IDLE = Share(0, 0, 0), Demand()


class Facts(NamedTuple):
    """What is so of a pool now. ``owners`` act on nodes in it, ``candidates`` may ever; ``gone`` are those
    that are silent for so long that only ``alone`` is left of their shares, with the most that may still
    count of what they took. ``growing``: shares may."""

    limit: int
    owners: Collection[str]
    candidates: Collection[str]
    gone: Mapping[str, int] = {}
    span: bool = False
    growing: bool = True


def gone_s(terms: LeaseTerms, longest_s: float) -> float:
    """For how long the arbiter must have seen no renewal of an owner, to count on what it began under its
    lease being over: a step may begin until the lease ends and last for ``longest_s``, on the owner's
    clock, which may be slower than ours."""
    return terms.duration_s + longest_s * (1 + 3 * terms.drift)


@dataclass(slots=True)
class _Part:
    """What the arbiter knows of one owner. ``most`` and ``alone`` are the greatest that may count there."""

    told: Share = NOTHING
    most: int = 0
    alone: int = 0
    confirmed: bool = True
    demand: Demand = IDLE

    @property
    def bound(self) -> int:
        """The most that it may be using."""
        return max(self.most, self.demand.used)

    def tell(self, serial: int, most: int, alone: int) -> None:
        self.told, self.confirmed = Share(serial, most, alone), False
        self.most, self.alone = max(self.most, most), max(self.alone, alone)


@dataclass(slots=True)
class Allotment:
    """The parts of one pool. ``own`` is what the arbiter's own engine may use."""

    own: int = 0
    _parts: dict[str, _Part] = field(default_factory=dict[str, _Part])

    def restore(self, owner: str, bound: int, alone: int) -> None:
        """What a former arbiter's ledger said."""
        self._parts[owner] = _Part(Share(0, bound, alone), bound, alone, demand=Demand(bound))

    def forget(self, owner: str) -> None:
        """An owner is no more."""
        self._parts.pop(owner, None)

    @property
    def settled(self) -> bool:
        """Whether all have confirmed what they were told, and nobody waits for more."""
        return all(
            p.confirmed and p.told.serial and not p.demand.waiting for p in self._parts.values()
        )

    def concerns(self, owners: Collection[str]) -> bool:
        """Whether one of them has, or may have, a share."""
        return not self._parts.keys().isdisjoint(owners)

    def told(self) -> dict[str, Share]:
        """What the owners are told."""
        return {owner: part.told for owner, part in self._parts.items()}

    def ledger(self) -> dict[str, tuple[int, int]]:
        """The most that each owner may be using, with a lease and without."""
        return {owner: (part.bound, part.alone) for owner, part in self._parts.items()}

    def confirm(self, owner: str, serial: int, demand: Demand) -> None:
        """An owner uses so much, and has taken over the share ``serial``."""
        part = self._parts.get(owner)
        if part is None:
            return
        if serial == part.told.serial:
            part.confirmed = True
            part.most, part.alone, part.demand = part.told.most, part.told.alone, demand
        else:  # it said so before it heard what it was told last
            part.demand = Demand(max(part.demand.used, demand.used), demand.waiting)

    def takes_over(self, owner: str, limit: int, serial: int) -> None:
        """Nodes come to an owner, some of which may be down: until it says what it uses, it is all."""
        part = self._parts.setdefault(owner, _Part())
        part.tell(serial, part.told.most, part.told.alone)
        part.demand = Demand(max(part.demand.used, limit), part.demand.waiting)

    def decide(self, facts: Facts, own: Demand, turn: int, serial: int) -> None:
        """Make shares smaller and larger. ``own`` is what the arbiter's engine uses and waits for; ``turn``
        says who comes first where there is not enough. Who has not confirmed is told nothing new."""
        wants = {name: self._wants(name) for name in facts.owners if name not in facts.gone}
        wants[MASTER] = sum(own)
        floor = alone_of(facts)
        floors = {owner: floor for owner in wants if owner != MASTER}
        if sole(facts):
            wants.update(floors)
        aims = fair(facts.limit, wants, floors, rotated(sorted(wants), turn))
        for owner in facts.gone:
            if owner in self._parts:
                self._without_lease(owner, facts.gone[owner], serial)
        self._lower(facts, aims, floor, serial)
        if facts.growing:
            self._raise(facts, own, aims, floor, serial)
        left = max(0, facts.limit - self._others())
        self.own = left if facts.growing else min(self.own, left)
        for owner in [o for o, p in self._parts.items() if _is_over(p) and o not in facts.owners]:
            del self._parts[owner]

    def _wants(self, owner: str) -> int:
        part = self._parts.get(owner)
        return sum(part.demand) if part is not None else 0

    def _others(self) -> int:
        return sum(part.bound for part in self._parts.values())

    def _without_lease(self, owner: str, kept: int, serial: int) -> None:
        """Nothing is left of a share but what may be used without a lease, and what is ``kept``."""
        part = self._parts[owner]
        if part.told.most != part.told.alone:
            part.tell(serial, part.told.alone, part.told.alone)
        part.most, part.demand = max(part.alone, min(part.most, kept)), IDLE

    def _lower(self, facts: Facts, aims: Mapping[str, int], floor: int, serial: int) -> None:
        """Take back what others need, what is beyond the limit, and all from those who own nothing."""
        parts = self._parts
        short = aims[MASTER] > self.own or self._others() > facts.limit or any(
            aim > (parts[owner].told.most if owner in parts else 0)
            for owner, aim in aims.items() if owner != MASTER
        )  # fmt: skip
        for owner, part in parts.items():
            if owner in facts.gone or not part.confirmed:
                continue
            owns = owner in aims
            most = min(part.told.most, aims.get(owner, 0)) if short or not owns else part.told.most
            alone = min(part.told.alone, floor if owns else 0, most)
            if (most, alone) != part.told[1:] or not part.told.serial:
                part.tell(serial, most, alone)

    def _raise(
        self, facts: Facts, own: Demand, aims: Mapping[str, int], floor: int, serial: int
    ) -> None:
        """Give out what is free."""
        others = self._others()
        for owner, aim in aims.items():
            if owner == MASTER:
                continue
            part = self._parts.setdefault(owner, _Part())
            if not part.confirmed:
                continue
            others -= part.bound
            room = facts.limit - own.used - others
            most = max(part.told.most, min(aim, room))
            alone = max(part.told.alone, min(floor, most))
            if (most, alone) != part.told[1:] or not part.told.serial:
                part.tell(serial, most, alone)
            others += part.bound


def _is_over(part: _Part) -> bool:
    """Whether an owner holds nothing, and knows it."""
    return part.confirmed and part.told[1:] == (0, 0) and not part.bound


def sole(facts: Facts) -> bool:
    """Whether one owner alone may ever act on the pool's nodes, and it is not the master."""
    return len({*facts.candidates, *facts.owners}) == 1 and MASTER not in facts.candidates


def alone_of(facts: Facts) -> int:
    """What each owner keeps without a lease: half of an equal part, one at least where there is enough
    for all. Nothing of spans: without a lease nothing may be taken out of service anyhow."""
    if sole(facts):
        return facts.limit
    count = len({*facts.candidates, *facts.owners})
    if facts.span or facts.limit < count:
        return 0
    return max(1, facts.limit // (2 * count))


def fair(
    limit: int, wants: Mapping[str, int], floors: Mapping[str, int], order: Sequence[str]
) -> dict[str, int]:
    """Parts of ``limit``: first the floors, then equal parts, but to nobody more than it wants; where not
    all get the same, those that come first in ``order`` get more."""
    found: dict[str, int] = {}
    left = limit
    for owner in order:
        found[owner] = min(floors.get(owner, 0), left)
        left -= found[owner]
    while left > 0 and (hungry := [o for o in order if found[o] < wants[o]]):
        each = max(1, left // len(hungry))
        for owner in hungry:
            more = min(each, wants[owner] - found[owner], left)
            found[owner] += more
            left -= more
    return found


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """Names in an order in which another comes first at each turn: the same in all pools, so that one
    owner gets all that it waits for, and nobody always comes last."""
    place = turn % len(names) if names else 0
    return [*names[place:], *names[:place]]


def longest_s(timeouts_s: Collection[float]) -> float:
    """How long a step of some mutations may last; for ever where one has no time-out."""
    return math.inf if any(t <= 0 for t in timeouts_s) else max(timeouts_s, default=0.0)
