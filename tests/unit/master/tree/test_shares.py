"""What is decided of shares, and when: a pool for which nothing has changed costs nothing, though somebody
waits for it; and nobody could notice that it is not decided again."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from kedge.core.allotment import Allotment, Share
from kedge.core.events import BudgetSet
from kedge.core.lease import MASTER, Arbiter, LeaseTerms
from kedge.master.tree.master.shares import STUCK_S, TURN_S, Shares
from kedge.site.model import Group

GROUPS, OWNERS = 12, 4


class World:
    """Shares of a site whose groups have two parents each, some of them with the master as the second."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.demands: dict[tuple[str, str], tuple[int, int]] = {}
        self.counter = 0
        self.groups = {
            f"g{n}": Group(f"g{n}", (f"n{n}",), parents=(f"sm{n % OWNERS}", self.second(n)))
            for n in range(GROUPS)
        }
        nodes = {
            name: SimpleNamespace(name=name, group=group.name, attributes={"row": group.name[-1]})
            for group in self.groups.values()
            for name in group.nodes
        }
        budgets = {"power.on": {"row": 3, "cluster": 5}}
        self.site: Any = SimpleNamespace(
            groups=self.groups, nodes=nodes, budgets=budgets, out_of_service={"cluster": 2}
        )
        limits = {("power.on", f"row {n}"): 3 for n in range(10)} | {("power.on", "cluster"): 5}
        self.limits = {pool: BudgetSet(*pool, limit) for pool, limit in limits.items()}
        span = "out_of_service", "cluster"
        self.limits[span] = BudgetSet(*span, 2, span=True)
        self.arbiter = Arbiter(LeaseTerms())
        for n, group in enumerate(self.groups):
            self.arbiter.give(group, f"sm{n % OWNERS}", 1, self.now)
        self.renew(range(OWNERS))
        self.shares = self.made()

    def second(self, number: int) -> str:
        return MASTER if number % 5 == 0 else f"sm{(number + 1) % OWNERS}"

    def made(self) -> Shares:
        head: Any = SimpleNamespace(
            limits=self.limits, site=self.site, limit=lambda: None,
            engine=SimpleNamespace(demand=lambda pool, span: self.demands.get(pool, (0, 0))),
            graph=SimpleNamespace(mutations={}), journal=SimpleNamespace(write=lambda *_, **__: None),
        )  # fmt: skip
        ownership: Any = SimpleNamespace(
            arbiter=self.arbiter, site=self.site,
            parents=lambda group: self.groups[group].parents,
            owner=lambda group: self.arbiter.owner(group).owner,
        )  # fmt: skip
        store: Any = SimpleNamespace(records=lambda _: {}, put=lambda *_: None)
        clock: Any = SimpleNamespace(now=lambda: self.now)
        shares = Shares(head, ownership, store, clock, 1)
        shares.stuck = lambda node: node if node == "n1" else ""
        shares.hides = lambda node: node == "n1"
        shares.look(self.site)
        return shares

    def renew(self, owners: Any) -> None:
        self.counter += 1
        for owner in owners:
            self.arbiter.saw(f"sm{owner}", self.counter, self.now)


def parts(shares: Shares) -> dict[tuple[str, str], tuple[int, dict[str, Share]]]:
    """What each owner may use of each pool; the numbers of the tellings are left out."""
    return {
        pool: (each.own, {owner: each[1:] for owner, each in sorted(each.told().items())})
        for pool, each in shares._allotments.items()
    }


def hear(shares: Shares, pool: tuple[str, str], owner: str, used: int, waiting: int) -> None:
    """An owner confirms what it was told."""
    told = shares._allotments[pool].told().get(owner)
    if told is not None:
        used = min(used, told.most)
        shares.heard(owner, " ".join(pool), [told.serial, used, waiting])


@pytest.mark.parametrize("seed", range(20))
def test_who_waits_is_decided_about_as_if_at_every_look(seed: int):
    rng, world = random.Random(seed), World()
    always = world.made()
    for _ in range(200):
        world.now += rng.choice([0.5, 1.0, 1.0, 4.0])
        world.renew([n for n in range(OWNERS) if n or rng.random() < 0.05 + seed % 2])
        pool = rng.choice([*world.limits])
        if rng.random() < 0.3:
            world.demands[pool] = rng.randrange(2), rng.choice([0, 0, 1, 3])
        if rng.random() < 0.7:
            owner, used, waiting = (
                f"sm{rng.randrange(OWNERS)}",
                rng.randrange(3),
                rng.choice([0, 0, 2]),
            )
            for each in (world.shares, always):
                hear(each, pool, owner, used, waiting)
        always._stale.update(
            pool
            for pool, each in always._allotments.items()
            if not each.settled or world.demands.get(pool, (0, 0))[1]
        )
        assert world.shares.look(world.site) == always.look(world.site)
        assert parts(world.shares) == parts(always)


def test_who_waits_in_vain_costs_nothing(monkeypatch: pytest.MonkeyPatch):
    world, decided = World(), list[float]()
    ordinary = Allotment.decide

    def counted(self: Allotment, *args: Any) -> None:
        decided.append(world.now)
        ordinary(self, *args)

    monkeypatch.setattr(Allotment, "decide", counted)
    world.now = 100 * TURN_S + 1
    for _ in range(5):
        world.renew(range(OWNERS))
        for pool in world.limits:
            for owner in range(OWNERS):
                hear(world.shares, pool, f"sm{owner}", 1, 2)
        world.shares.look(world.site)
    for _ in range(5):
        world.shares.look(world.site)
    decided.clear()
    began = world.now
    for second in range(1, int(TURN_S)):
        world.now = began + second
        world.renew(range(OWNERS))
        world.shares.look(world.site)
    seconds = [at - began for at in decided]
    assert seconds[:2] == [STUCK_S, 2 * STUCK_S]  # one pool, in which somebody may be stuck
    assert set(seconds[2:]) == {TURN_S - 1}  # all: it is another owner's turn
