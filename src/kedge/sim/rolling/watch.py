"""The rules of a rollout, looked at from outside: who is out, whose job is disturbed, what follows a stop.

Nothing here asks the decisions whether they are right. A node counts as taken from the moment at which it
gets a release while it serves, until it serves again with what it is configured with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kedge.rollout.model import Rollout

MOST_KEPT = 20


@dataclass(slots=True)
class Watch:
    """``is_open`` says whether a node takes jobs, ``is_back`` whether it does with what it shall run,
    ``rack_of`` in which rack it is. ``broken`` are the rules that were broken, the first ones."""

    rollout: Rollout
    is_open: Callable[[str], bool]
    is_back: Callable[[str], bool]
    rack_of: Callable[[str], str]
    broken: list[str] = field(default_factory=list[str])
    taken: set[str] = field(default_factory=set[str])
    moved: set[str] = field(default_factory=set[str])
    most_taken: int = 0
    killed: int = 0
    stopped: bool = False
    """Whether a gate failed or the rollout paused, and no person has spoken since."""

    def break_(self, what: str) -> None:
        """A rule is broken."""
        if len(self.broken) < MOST_KEPT:
            self.broken.append(what)

    def assigned(self, names: Iterable[str], release: str) -> None:
        """Nodes are about to get a release."""
        chosen = tuple(names)
        if self.stopped and release == self.rollout.release:
            self.break_(f"{len(chosen)} nodes got {release} after the rollout had stopped")
        self.taken = {node for node in self.taken if not self.is_back(node)}
        self.moved.update(chosen)
        before = len(self.taken)
        self.taken.update(node for node in chosen if self.is_open(node))
        self.most_taken = max(self.most_taken, len(self.taken))
        if len(self.taken) == before:
            return
        out = {node for node in self.rollout.was if not self.is_open(node)} | self.taken
        if len(out) > self.rollout.most_out:
            self.break_(f"{len(out)} nodes are out, {self.rollout.most_out} may be")
        most = self.rollout.most_out_of.get("rack")
        if most is not None:
            racks = Counter(self.rack_of(node) for node in out)
            going = {self.rack_of(node) for node in chosen if node in self.taken}
            for rack in going:
                if racks[rack] > most:
                    self.break_(f"{racks[rack]} nodes of rack {rack} are out, {most} may be")

    def disturbed(self, node: str, *, busy: bool) -> None:
        """A node is about to be updated."""
        if busy:
            self.killed += 1
            self.break_(f"{node} is updated while a job runs on it")
        if self.is_open(node):
            self.break_(f"{node} is updated while it takes jobs")
