"""No more of a pool is ever used than its limit, whatever is lost, late, cut off or restarted.

Owners and the arbiter live on clocks that drift; what they tell each other is a state each way, which
comes late, out of order or not at all. The same world with a rule left out uses too much: then the test
would fail.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kedge.core.allotment import (
    NOTHING,
    Allotment,
    Demand,
    Facts,
    Share,
    alone_of,
    fair,
    gone_s,
    longest_s,
    rotated,
)
from kedge.core.lease import MASTER, LeaseTerms

TERMS = LeaseTerms(duration_s=60.0, drift=0.01)
LONGEST_S = 40.0
LASTS_S = 1200
NAMES = ("a", "b", "c")


@dataclass
class Owner:
    """A sub-master: its engine's steps, its lease, and what it heard last."""

    rate: float
    share: Share = NOTHING
    heard: int = -1
    counter: int = 0
    sent: dict[int, float] = field(default_factory=dict[int, float])
    good_from: float = -1e9
    ends: list[float] = field(default_factory=list[float])
    wants: int = 0

    def may_use(self, now: float) -> int:
        leased = now * self.rate <= self.good_from + TERMS.duration_s * (1 - 2 * TERMS.drift)
        return self.share.most if leased else self.share.alone

    def live(self, now: float, chance: random.Random) -> None:
        self.ends = [end for end in self.ends if end > now * self.rate]
        if chance.random() < 0.05:
            self.wants = chance.choice((0, 0, 1, 3, 9))
        while self.wants and len(self.ends) < self.may_use(now):
            self.wants -= 1
            self.ends.append(now * self.rate + chance.choice((2.0, 10.0, LONGEST_S)))


@dataclass
class World:
    """``wait_s``: for how long an owner must be silent until it is taken to be gone."""

    chance: random.Random
    limit: int
    span: bool = False
    wait_s: float = gone_s(TERMS, LONGEST_S)
    confirms: bool = True
    rate: float = 1.0
    pool: Allotment = field(default_factory=Allotment)
    seen: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    posts: list[tuple[float, Callable[[], None]]] = field(
        default_factory=list[tuple[float, Callable[[], None]]]
    )
    cut: set[str] = field(default_factory=set[str])
    owners: set[str] = field(default_factory=lambda: set(NAMES))
    own: Owner = field(default_factory=lambda: Owner(1.0))
    told: int = 0
    began: float = 0.0
    now: float = 0.0

    def __post_init__(self) -> None:
        drift = TERMS.drift
        self.rate = self.chance.uniform(1 - drift, 1 + drift)
        self.all = {name: Owner(self.chance.uniform(1 - drift, 1 + drift)) for name in NAMES}
        self.said: dict[str, int] = dict.fromkeys(NAMES, -1)

    def used(self) -> int:
        return len(self.own.ends) + sum(len(owner.ends) for owner in self.all.values())

    def post(self, name: str, now: float, act: Callable[[], None]) -> None:
        if name not in self.cut and self.chance.random() > 0.3:
            self.posts.append((now + self.chance.choice((0.1, 1.0, 1.0, 25.0)), act))

    def second(self, now: float) -> None:
        chance = self.chance
        if chance.random() < 0.01:
            self.cut ^= {chance.choice(NAMES)}
        if chance.random() < 0.005:
            self.restart(now)
        due = [post for post in self.posts if post[0] <= now]
        self.posts = [post for post in self.posts if post[0] > now]
        for _, act in sorted(due, key=lambda post: post[0]):
            act()
        for name, owner in self.all.items():
            owner.live(now, chance)
            if int(now) % 10 == 0:
                owner.counter += 1
                owner.sent[owner.counter] = now * owner.rate
            self.up(name, owner, now)
        self.decide(now)
        self.own.live(now, chance)

    def up(self, name: str, owner: Owner, now: float) -> None:
        version, counter, serial = int(now), owner.counter, owner.share.serial
        demand = Demand(len(owner.ends), owner.wants)

        def arrives() -> None:
            if version <= self.said[name]:
                return
            self.said[name] = version
            if counter > self.seen.get(name, (-1, 0.0))[0]:
                self.seen[name] = counter, self.now * self.rate
            self.pool.confirm(name, serial if self.confirms else self.serial_of(name), demand)

        self.post(name, now, arrives)

    def serial_of(self, name: str) -> int:
        return self.pool.told()[name].serial if name in self.pool.told() else 0

    def decide(self, now: float) -> None:
        clock = now * self.rate
        gone = {n: 0 for n in NAMES if clock - self.seen.get(n, (-1, self.began))[1] > self.wait_s}
        demand = Demand(len(self.own.ends), self.own.wants)
        facts = Facts(self.limit, self.owners, (*NAMES, MASTER), gone, self.span)
        self.told += 1
        self.pool.decide(facts, demand, int(now) // 30, self.told)
        self.own.share = Share(0, self.pool.own, self.pool.own)
        for name, share in self.pool.told().items():
            counter = self.seen.get(name, (-1, 0.0))[0]
            self.down(name, share, counter, self.told, now)

    def down(self, name: str, share: Share, counter: int, version: int, now: float) -> None:
        def arrives() -> None:
            owner = self.all[name]
            if version > owner.heard:
                owner.heard, owner.share = version, share
                sent = owner.sent.get(counter)
                if sent is not None:
                    owner.good_from = max(owner.good_from, sent)

        self.post(name, now, arrives)

    def restart(self, now: float) -> None:
        """The arbiter's process dies, its ledger is in the store."""
        ledger, self.pool = self.pool.ledger(), Allotment()
        for name, (bound, alone) in ledger.items():
            self.pool.restore(name, bound, alone)
        self.seen, self.began = {}, now * self.rate
        self.own.ends.clear()

    def run(self) -> int:
        """The most that was used at once."""
        most = 0
        for second in range(LASTS_S):
            self.now = float(second)
            self.second(self.now)
            most = max(most, self.used())
        return most


@pytest.mark.parametrize("seed", range(60))
def test_a_limit_holds_over_all_owners(seed: int) -> None:
    chance = random.Random(seed)
    limit = chance.choice((1, 2, 4, 9))
    assert World(chance, limit).run() <= limit


@pytest.mark.parametrize(
    "wrong", [{"wait_s": TERMS.duration_s}, {"confirms": False}], ids=["too soon", "no numbers"]
)
def test_with_a_rule_left_out_it_does_not(wrong: dict[str, float]) -> None:
    assert any(
        World(random.Random(seed), 4, **wrong).run() > 4  # type: ignore[arg-type]
        for seed in range(40)
    )


def settled(pool: Allotment, facts: Facts, own: Demand, demands: dict[str, Demand]) -> None:
    """Everybody who is not gone hears everything at once, for a while."""
    for serial in range(1, 9):
        pool.decide(facts, own, 0, serial)
        for name, share in pool.told().items():
            if name not in facts.gone:
                pool.confirm(name, share.serial, demands.get(name, Demand()))


def test_who_wants_it_gets_it() -> None:
    pool, facts = Allotment(), Facts(8, ("a", "b"), ("a", "b", MASTER))
    settled(pool, facts, Demand(), {"a": Demand(0, 20)})
    assert pool.told()["a"].most == 7
    assert pool.told()["b"].most == 1, "what it keeps without a lease"
    settled(pool, facts, Demand(), {"a": Demand(4, 20), "b": Demand(0, 20)})
    assert {name: share.most for name, share in pool.told().items()} == {"a": 4, "b": 4}


def test_one_unit_goes_round() -> None:
    pool, facts = Allotment(), Facts(1, ("a", "b"), ("a", "b"), span=True)
    had: set[str] = set()
    for turn in range(6):
        for serial in range(4):
            pool.decide(facts, Demand(), turn, turn * 10 + serial + 1)
            for name, share in pool.told().items():
                had |= {name} if share.most else set()
                pool.confirm(name, share.serial, Demand(min(share.most, 0), 5))
    assert had == {"a", "b"}


def test_who_alone_may_ever_act_has_all_of_it() -> None:
    pool, facts = Allotment(), Facts(3, ("a",), ("a",), span=True)
    pool.decide(facts, Demand(), 0, 1)
    assert pool.told() == {"a": Share(1, 3, 3)} and pool.own == 0


def test_what_is_out_of_service_below_a_silent_owner_stays_its_own() -> None:
    pool, facts = Allotment(), Facts(2, ("a", "b"), ("a", "b"), span=True)
    settled(pool, facts, Demand(), {"a": Demand(2, 0)})
    silent = facts._replace(gone={"a": 2})
    settled(pool, silent, Demand(), {"b": Demand(0, 3)})
    assert pool.told()["b"].most == 0
    passed_on = silent._replace(owners=("b",))
    pool.takes_over("b", 2, 100)
    pool.decide(passed_on, Demand(), 0, 101)
    assert pool.told()["b"].most == 0, "it has not said yet what is down of what it took over"
    pool.confirm("b", 100, Demand(1, 1))
    pool.decide(passed_on, Demand(), 0, 102)
    assert pool.told()["b"].most == 0, "nobody but a knows of its nodes"
    pool.decide(passed_on._replace(gone={"a": 1}), Demand(), 0, 103)
    assert pool.told()["b"].most == 1, "b sees one of them"
    pool.confirm("b", 103, Demand(1, 1))
    pool.decide(passed_on._replace(gone={"a": 0}), Demand(), 0, 104)
    assert pool.told()["b"].most == 2


def test_shares_without_a_lease_leave_something_for_the_others() -> None:
    for limit in range(1, 20):
        for count in range(2, 6):
            names = tuple("abcdef"[:count])
            alone = alone_of(Facts(limit, names, names))
            assert alone * (count - 1) < limit and (alone > 0) == (limit >= count)


def test_fair_parts() -> None:
    assert fair(5, {"a": 9, "b": 1, "c": 9}, {}, "abc") == {"a": 2, "b": 1, "c": 2}
    assert fair(2, {"a": 9, "b": 9, "c": 9}, {}, rotated("abc", 1)) == {"b": 1, "c": 1, "a": 0}
    assert longest_s([3.0, 0.0]) == float("inf")
    assert longest_s([]) == 0.0
