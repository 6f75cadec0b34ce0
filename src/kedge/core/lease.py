"""Ownership of groups by leases: who may act on a group, and until when. Pure arithmetic.

There is one **arbiter** (the master, whose store outlives it) and there are **owners** (sub-masters, or
the master itself). An owner counts: each renewal is a number greater than the one before. The arbiter
answers a renewal with the groups that it is good for. Let D be ``duration_s`` and rho the drift of any
clock; no two clocks are ever compared.

- The arbiter passes a group on only D after it *saw* the last renewal that it answered for this group,
  on its own clock. It has a restart of its own count from the start, so it never counts too much.
- An owner begins a destructive step only while ``now + d_op <= t_send + D (1 - 2 rho)``, where
  ``t_send`` is when it *sent* the newest renewal that was answered for the group, on its own clock, and
  ``d_op`` covers the BMC's client and the BMC's own delay.

Why no two overlap: the arbiter saw the renewal after it was sent, at true time s >= t_send, and passes the
group on no earlier than s + D / (1 + rho) true seconds. The owner's last step has had its effect by
t_send + D (1 - 2 rho) / (1 - rho) true seconds, which is not later. An owner that counted from the *answer*
would count from a later moment than the arbiter: that overlaps (`tests/property/test_lease.py`).

A counter must never be used twice by one name, also not by its next process: it begins with the number
of the start. A process that remembers nothing (another machine, or one without a disk) counts from the
beginning again. It joins anew, which the arbiter hears before any renewal: what was owned under that name is
the former process's, which may still be alive, and passes on, also to the new one, when its lease is over.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MASTER = "master"
"""The arbiter itself as an owner: of groups that name no parents, or that name it among them."""

STARTS = 1 << 32
"""How many renewals one start of an owner has room for."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """What all have agreed on. ``settled_s``: how long a better owner must have been there before a
    group goes back to it."""

    duration_s: float = 60.0
    operation_s: float = 20.0
    drift: float = 0.001
    settled_s: float = 60.0

    @property
    def renew_s(self) -> float:
        """How often an owner renews."""
        return self.duration_s / 6

    @property
    def spare_s(self) -> float:
        """How long after the sending of a renewal a destructive step may still begin."""
        return self.duration_s * (1 - 2 * self.drift) - self.operation_s


class Owned(NamedTuple):
    """Who owns a group, with the fencing term: greater than that of every owner before."""

    owner: str
    term: int


class Tenure:
    """An owner's side: what it sent, what was answered, and what it may therefore do."""

    def __init__(self, terms: LeaseTerms, start: int) -> None:
        """``start`` counts the starts of this owner, from its store."""
        self.terms = terms
        self.owned: dict[str, int] = {}
        self.counter = start * STARTS
        self._sent: dict[int, float] = {}
        self._good_from: dict[str, float] = {}
        self._heard_from = -math.inf

    def renew(self, now: float) -> int:
        """The counter to send, now."""
        self.counter += 1
        self._sent[self.counter] = now
        old = now - self.terms.duration_s
        self._sent = {counter: at for counter, at in self._sent.items() if at >= old}
        return self.counter

    def answered(self, counter: int, owned: Mapping[str, int]) -> None:
        """The arbiter has seen the renewal ``counter``; these groups (with their terms) are ours."""
        sent = self._sent.get(counter)
        if sent is not None:
            self._heard_from = max(self._heard_from, sent)
        for group, term in owned.items():
            if self.owned.get(group) != term:
                self._good_from.pop(group, None)
            if sent is not None:
                self._good_from[group] = max(sent, self._good_from.get(group, -math.inf))
        self.owned = dict(owned)

    def counted_on_until(self) -> float:
        """Until when the arbiter takes us to be there, whatever we own: a lease without the time that a
        destructive step takes. Shares of budgets are good until then."""
        return self._heard_from + self.terms.duration_s * (1 - 2 * self.terms.drift)

    def until(self, group: str) -> float:
        """Until when a destructive step may begin on the group's nodes."""
        if group not in self.owned:
            return -math.inf
        return self._good_from.get(group, -math.inf) + self.terms.spare_s

    def may_destroy(self, group: str, now: float) -> bool:
        """Whether a destructive step may begin now."""
        return now <= self.until(group)


@dataclass(slots=True)
class _Held:
    owned: Owned
    seen_at: float  # the newest renewal that was answered for the group, on our clock
    withdrawn: bool = False
    orphaned: bool = False  # the process that it was given to is no more the one of this name


@dataclass(slots=True)
class _Contender:
    counter: int = -1
    seen_at: float = -math.inf
    there_since: float = -math.inf


@dataclass(slots=True)
class Arbiter:
    """The arbiter's side: sees renewals, answers them, and passes groups on."""

    terms: LeaseTerms
    _held: dict[str, _Held] = field(default_factory=dict[str, _Held])
    _contenders: dict[str, _Contender] = field(default_factory=dict[str, _Contender])
    _new_since: dict[str, float] = field(default_factory=dict[str, float])

    def restore(
        self, owned: Mapping[str, Owned], now: float, orphaned: Collection[str] = ()
    ) -> None:
        """What the store says, at a start: whoever owns a group may have renewed just now."""
        for group, known in owned.items():
            lost = group in orphaned
            self._held[group] = _Held(known, now, lost, lost)

    def owner(self, group: str) -> Owned | None:
        """Who owns a group; None: nobody ever did."""
        held = self._held.get(group)
        return held.owned if held is not None else None

    def groups(self) -> list[str]:
        """All groups that somebody owns."""
        return list(self._held)

    def acts(self, group: str) -> bool:
        """Whether the group is to be acted on by its owner: it is not being withdrawn."""
        held = self._held.get(group)
        return held is not None and not held.withdrawn

    def saw(self, who: str, counter: int, now: float) -> bool:
        """A renewal has come; False when it is not newer than the last."""
        known = self._contenders.setdefault(who, _Contender())
        if counter <= known.counter:
            return False
        if now - known.seen_at > self.terms.duration_s / 2:
            known.there_since = now
        known.counter, known.seen_at = counter, now
        for held in self._held.values():
            if held.owned.owner == who and not held.withdrawn:
                held.seen_at = now
        return True

    def joined(self, who: str) -> list[str]:
        """``who`` has joined anew, as a process that remembers nothing: returns the groups that are orphaned
        by it. Write them to the store before the new process is told anything."""
        self._contenders.pop(who, None)
        found = [group for group, held in self._held.items() if held.owned.owner == who]
        for group in found:
            self._held[group].withdrawn = self._held[group].orphaned = True
        return found

    def answer(self, who: str) -> tuple[int, dict[str, int]]:
        """What to tell ``who``: its newest counter, and the groups (with terms) that are its own."""
        known = self._contenders.get(who)
        return known.counter if known is not None else -1, {
            group: held.owned.term
            for group, held in self._held.items()
            if held.owned.owner == who and not held.withdrawn
        }

    def there(self, who: str, now: float) -> bool:
        """Whether somebody renews."""
        if who == MASTER:
            return True
        known = self._contenders.get(who)
        return known is not None and now - known.seen_at <= self.terms.duration_s / 2

    def seen_at(self, who: str) -> float:
        """When the newest renewal of ``who`` came."""
        known = self._contenders.get(who)
        return known.seen_at if known is not None else -math.inf

    def decide(
        self,
        wanted: Mapping[str, Sequence[str]],
        now: float,
        busy: Collection[str] = (),
    ) -> list[tuple[str, str]]:
        """Groups that may get another owner now, and whom. ``wanted`` are the groups' parents, the
        preferred one first. A ``busy`` group is not taken from an owner that is there only because a
        better one is, too; one that nobody ever owned waits for a better one than the master as long as a
        better one must have settled. Write it to the store, then call `give`."""
        found: list[tuple[str, str]] = []
        for group, parents in wanted.items():
            held = self._held.get(group)
            target = self._target(held, parents, now)
            if held is None:
                since = self._new_since.setdefault(group, now)
                in_time = now - since < self.terms.settled_s
                if target and not (in_time and target == MASTER != parents[0]):
                    found.append((group, target))
                continue
            if held.owned.owner == MASTER and not held.withdrawn:
                held.seen_at = now  # our own hand, which no message can outlive
            if not target:
                continue
            if held.orphaned:
                if now - held.seen_at >= self.terms.duration_s:
                    found.append((group, target))
                continue
            if target == held.owned.owner:
                if (
                    held.withdrawn
                ):  # renewals that were refused meanwhile may be answered from now on
                    held.withdrawn, held.seen_at = False, now
                continue
            if self.there(held.owned.owner, now) or held.owned.owner not in parents:
                if group in busy and held.owned.owner in parents and not held.withdrawn:
                    continue
                held.withdrawn = True
            if now - held.seen_at >= self.terms.duration_s:
                found.append((group, target))
        return found

    def _target(self, held: _Held | None, parents: Iterable[str], now: float) -> str:
        """The first parent that is there; one better than a present owner must have settled."""
        owner = held.owned.owner if held is not None else ""
        owner_there = owner in parents and self.there(owner, now)
        for parent in parents:
            if parent == owner and owner_there:
                return parent
            if not self.there(parent, now):
                continue
            known = self._contenders.get(parent)
            since = known.there_since if known is not None else -math.inf
            if not owner_there or now - since >= self.terms.settled_s:
                return parent
        return ""

    def give(self, group: str, owner: str, term: int, now: float) -> None:
        """The store says that the group is ``owner``'s now."""
        held = self._held.get(group)
        assert held is None or term > held.owned.term
        self._held[group] = _Held(Owned(owner, term), now)
        self._new_since.pop(group, None)

    def forget(self, group: str) -> None:
        """The site no longer has the group."""
        self._held.pop(group, None)
        self._new_since.pop(group, None)
