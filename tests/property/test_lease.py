"""At no time do two owners begin destructive steps on one group, whatever clocks and networks do.

Clocks run fast or slow within the bound, messages take any time or are lost, processes pause. The last
test shows that this can fail: an owner that counts from the answer overlaps.
"""

from __future__ import annotations

import heapq
import os
import random
from collections.abc import Callable

import pytest

from kedge.core.lease import MASTER, Arbiter, LeaseTerms, Owned, Tenure

SCALE = int(os.environ.get("KEDGE_TEST_SCALE", "1"))
TERMS = LeaseTerms()
GROUP = "g"
PARENTS = ("sm1", "sm2")


class FromAnswer(Tenure):
    """What must not be done: counting from when the answer came."""

    now = 0.0

    def answered(self, counter: int, owned: dict[str, int]) -> None:
        if counter in self._sent:
            self._sent[counter] = self.now
        super().answered(counter, owned)


class Owner:
    """A sub-master: its clock, its tenure, and whether its process is stopped."""

    def __init__(self, rng: random.Random, make: Callable[[LeaseTerms, int], Tenure]) -> None:
        rho = TERMS.drift
        self.rate = rng.choice((1 - rho, 1 + rho, 1 + rng.uniform(-rho, rho)))
        self.offset = rng.uniform(0, 1e6)
        self.tenure = make(TERMS, 1)
        self.starts = 1

    def clock(self, true: float) -> float:
        return self.offset + true * self.rate


def overlaps(seed: int, make: Callable[[LeaseTerms, int], Tenure]) -> tuple[bool, int]:
    """Runs a world; whether two owners' destructive steps overlapped, and how often ownership passed."""
    rng = random.Random(seed)
    owners = {name: Owner(rng, make) for name in PARENTS}
    rate = 1 + rng.uniform(-TERMS.drift, TERMS.drift)
    arbiter = Arbiter(TERMS)
    arbiter.restore({GROUP: Owned("sm1", 1)}, 0.0)
    store = {GROUP: Owned("sm1", 1)}
    term, passed, serial = 1, 0, 0
    flying: list[tuple[float, int, str, str, object]] = []
    slow = rng.choice((0.0, 0.2, 0.6))

    def delay_s() -> float:
        return rng.uniform(10, 70) if rng.random() < slow else rng.uniform(0, 0.2)

    until: dict[Tenure, float] = {}  # true end of its last step's effect
    cut: dict[tuple[str, str], bool] = {}
    due = {name: rng.uniform(0, 10) for name in PARENTS}
    ghosts: list[tuple[Callable[[float], float], Tenure]] = []
    orphans: set[str] = set()
    true = 0.0
    while true < 1500:
        true += rng.uniform(0.05, 1.0)
        if rng.random() < 0.02:
            cut[rng.choice(PARENTS), rng.choice(("up", "down"))] = rng.random() < 0.5
        if rng.random() < 0.003:  # the arbiter restarts
            arbiter = Arbiter(TERMS)
            arbiter.restore(store, true * rate, orphans)
        for name, owner in owners.items():
            if rng.random() < 0.001:  # so does an owner
                owner.starts += 1
                owner.tenure = make(TERMS, owner.starts)
            if (
                rng.random() < 0.0005
            ):  # another machine joins under its name, and it lives on, unheard
                ghosts.append((owner.clock, owner.tenure))
                owner.tenure, owner.starts = make(TERMS, 1), 1
                flying = [message for message in flying if message[3] != name]
                heapq.heapify(flying)
                orphans.update(arbiter.joined(name))
            if true >= due[name]:
                due[name] = true + (rng.uniform(1, 90) if rng.random() < 0.1 else TERMS.renew_s)
                counter = owner.tenure.renew(owner.clock(true))
                if not cut.get((name, "up")):
                    serial += 1
                    heapq.heappush(flying, (true + delay_s(), serial, "up", name, counter))
        while flying and flying[0][0] <= true:
            at, _, way, name, what = heapq.heappop(flying)
            owner = owners[name]
            if way == "up":
                assert isinstance(what, int)
                arbiter.saw(name, what, at * rate)
                if not cut.get((name, "down")):
                    serial += 1
                    answer = arbiter.answer(name)
                    heapq.heappush(flying, (at + delay_s(), serial, "down", name, answer))
            else:
                if isinstance(owner.tenure, FromAnswer):
                    owner.tenure.now = owner.clock(at)
                owner.tenure.answered(*what)  # type: ignore[misc]
        for group, owner_name in arbiter.decide({GROUP: PARENTS}, true * rate):
            term, passed = term + 1, passed + 1
            store[group] = Owned(owner_name, term)
            orphans.discard(group)
            arbiter.give(group, owner_name, term, true * rate)
        acting = [(owner.clock, owner.tenure) for owner in owners.values()] + ghosts
        for clock, tenure in acting:
            if tenure.may_destroy(GROUP, clock(true)):
                if any(until.get(other, 0.0) > true for _, other in acting if other is not tenure):
                    return True, passed
                until[tenure] = true + TERMS.operation_s * (1 + TERMS.drift)
    return False, passed


def test_no_two_owners_begin_destructive_steps() -> None:
    passed = 0
    for seed in range(60 * SCALE):
        found, times = overlaps(seed, Tenure)
        assert not found, f"seed {seed}"
        passed += times
    assert passed > 60, "ownership hardly ever passed on"


def test_counting_from_the_answer_would_overlap() -> None:
    found = sum(overlaps(seed, FromAnswer)[0] for seed in range(150))
    assert found > 5


def test_a_new_process_does_not_take_an_old_answer_for_its_own() -> None:
    before, after = Tenure(TERMS, 1), Tenure(TERMS, 2)
    old = before.renew(0.0)
    after.renew(100.0)
    after.answered(old, {GROUP: 1})
    assert not after.may_destroy(GROUP, 100.0)


def test_refused_renewals_count_for_nothing_once_the_group_is_left_with_its_owner() -> None:
    """sm1 is better but goes away while sm2 hands over: what sm2 renewed meanwhile counts from now."""
    arbiter = Arbiter(TERMS)
    arbiter.restore({GROUP: Owned("sm2", 1)}, 0.0)
    now, counter = 0.0, 0
    while arbiter.acts(GROUP):
        now, counter = now + 5, counter + 1
        arbiter.saw("sm1", counter, now)
        arbiter.saw("sm2", counter, now)
        assert not arbiter.decide({GROUP: PARENTS}, now)
    for _ in range(8):
        now, counter = now + 5, counter + 1
        arbiter.saw("sm2", counter, now)
        assert not arbiter.decide({GROUP: PARENTS}, now)
    assert arbiter.answer("sm2")[1] == {GROUP: 1}
    arbiter.saw("sm1", counter, now)
    counted_from = now
    while not arbiter.decide({GROUP: PARENTS}, now):
        now, counter = now + 1, counter + 1
        arbiter.saw("sm1", counter, now)
    assert now - counted_from >= TERMS.duration_s


@pytest.mark.parametrize("owner", ["sm1", MASTER])
def test_a_group_goes_back_only_after_its_lease(owner: str) -> None:
    arbiter = Arbiter(TERMS)
    arbiter.restore({GROUP: Owned(owner, 3)}, 0.0)
    wanted = {GROUP: ("sm2",)}
    assert not arbiter.decide(wanted, 0.0)
    now = 0.0
    for counter in range(100):
        now = counter * 5.0
        arbiter.saw("sm2", counter, now)
        arbiter.saw("sm1", counter, now)
        given = arbiter.decide(wanted, now)
        if given:
            break
    assert given == [(GROUP, "sm2")] and now >= TERMS.duration_s
    arbiter.give(GROUP, "sm2", 4, now)
    assert arbiter.answer("sm1")[1] == {} and arbiter.answer("sm2")[1] == {GROUP: 4}


def test_a_busy_group_waits_for_its_better_parent() -> None:
    arbiter = Arbiter(TERMS)
    arbiter.restore({GROUP: Owned("sm2", 1)}, 0.0)
    now = 0.0
    for counter in range(60):
        now = counter * 5.0
        arbiter.saw("sm1", counter, now)
        arbiter.saw("sm2", counter, now)
        assert not arbiter.decide({GROUP: PARENTS}, now, {GROUP})
    assert arbiter.acts(GROUP)
    for counter in range(60, 90):
        now = counter * 5.0
        arbiter.saw("sm1", counter, now)  # a busy owner that goes away is replaced all the same
        if arbiter.decide({GROUP: PARENTS}, now, {GROUP}):
            break
    assert now - 59 * 5.0 >= TERMS.duration_s


def test_a_new_group_waits_for_its_parent_before_the_master_takes_it() -> None:
    terms = LeaseTerms(duration_s=60, settled_s=60)
    arbiter, wanted = Arbiter(terms), {"g": ("sm1", MASTER), "h": (MASTER, "sm1")}
    assert arbiter.decide(wanted, 1000.0) == [("h", MASTER)]
    assert arbiter.decide(wanted, 1059.0) == [("h", MASTER)]
    assert arbiter.decide(wanted, 1060.0) == [("g", MASTER), ("h", MASTER)]
    arbiter.saw("sm1", 1, 1060.0)
    assert arbiter.decide({"g": ("sm1", MASTER)}, 1060.5) == [("g", "sm1")]
