"""Why a node does what it does: from the lines of its log to a chain of causes, oldest first.

The story begins where the node last left *converged* (or was first heard of). Its links are what a
person did, what was seen that no step of Kedge explains, steps with their outcome, and where the node
came to rest. A link follows from another: a step from what it mends, that from the step or the person
that brought it about. The log names causes in words that it writes itself (``power.state is off,
should be on``), so links are found by the variables in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kedge.core.variable import UNKNOWN

RESTS = ("converged", "held", "blocked", "quarantined")
_IS = re.compile(r"([a-z][\w-]*(?:\.[\w-]+)+) is ")
_MADE = re.compile(r"([a-z][\w-]*(?:\.[\w-]+)+)=")
AFTERGLOW_S = 3.0
"""So long after a step ended what it writes may still be seen to change."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A line of the log, of one node or of the head."""

    seq: int
    at: float
    what: str
    subject: str
    before: str = ""
    after: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """What happened, in words. ``because`` is the number (``seq``) of the link that it follows from
    (0: from none), ``why`` says how. A step has lasted until ``until`` (0: it runs, or is no step)."""

    seq: int
    at: float
    kind: str
    words: str
    why: str = ""
    because: int = 0
    until: float = 0.0


Told = Callable[[int], Happening | None]
"""The last thing that a person did, or a start of the head, before a number of the log."""


def chronicle(
    log: Sequence[Happening], writes: Mapping[str, frozenset[str]], told: Told
) -> list[Link]:
    """The chain that led to where the node is. ``log`` is the node's, oldest first; ``writes`` are the
    variables that each mutation changes."""
    return _Story(log[_beginning(log) :], writes, told).links()


def _beginning(log: Sequence[Happening]) -> int:
    """Where the present story begins: behind the rest that came before the last restlessness."""
    leaving = 0
    for place, each in enumerate(log):
        if each.what == "phase" and each.before in ("", "converged") and each.after != "converged":
            leaving = place
    for place in range(leaving - 1, -1, -1):
        if log[place].what == "phase":
            return place + 1
    return 0


class _Story:
    """Goes through the log once; knows for each variable what last changed it."""

    def __init__(
        self, log: Sequence[Happening], writes: Mapping[str, frozenset[str]], told: Told
    ) -> None:
        self._log = log
        self._writes = writes
        self._told = told
        self._links: dict[int, Link] = {}
        self._origins: dict[str, int] = {}
        self._flying: dict[str, int] = {}
        self._ended: dict[str, tuple[float, int]] = {}
        self._last = 0
        self._is_now = ""
        self._glimpsed: set[int] = set()
        """First sights, and failures that another one followed: worth a line only where something
        follows from them."""
        self._silent: dict[str, int] = {}
        self._begun = 0
        self._hushed, self._hushed_at = 0, 0.0
        """When the agent fell silent: the line, and until when what it told is forgotten for that."""

    def links(self) -> list[Link]:
        for each in self._log:
            act = getattr(self, f"_{each.what}", None)
            if act is not None:
                act(each)
        causes = {link.because for link in self._links.values()}
        if self._is_now == "converged":
            self._glimpsed.update(self._silent.values())
        elif self._hushed > self._begun:  # it is silent still, and nothing was begun for that
            self._glimpsed.discard(self._hushed)
        return [
            link
            for seq, link in sorted(self._links.items())
            if seq in causes or seq not in self._glimpsed
        ]

    def _put(self, link: Link) -> int:
        self._links[link.seq] = link
        if link.kind not in ("person", "limit"):
            self._last = link.seq
        return link.seq

    def _person(self, seq: int) -> int:
        """The link of what a person did (or the head's start) before this line."""
        did = self._told(seq)
        if did is None:
            return 0
        if did.what == "master":
            words = "Kedge was started, and takes the site as it was"
        else:
            words = f"{did.cause or 'somebody'}: {did.after} ({did.subject})"
        return self._put(Link(did.seq, did.at, "person", words))

    # what each sort of line means

    def _goal(self, each: Happening) -> None:
        self._origins[each.subject] = self._person(each.seq)

    def _request(self, each: Happening) -> None:
        if each.subject == "retry":
            self._put(Link(each.seq, each.at, "person", f"{each.cause}: try again"))
        elif each.after and "=" in each.after:
            words = f"{each.cause or 'somebody'}: pass once through {each.after} ({each.subject})"
            seq = self._put(Link(each.seq, each.at, "person", words))
            for variable in _MADE.findall(each.after):
                self._origins[variable] = seq

    def _observed(self, each: Happening) -> None:
        variable = each.subject
        if each.cause == "configured":
            self._origins[variable] = self._person(each.seq)
            return
        step = self._step_behind(variable, each.at)
        if step:
            self._origins[variable] = step
        elif each.after == UNKNOWN and each.cause == "agent" and each.at <= self._hushed_at:
            self._origins[variable] = self._hushed
        elif each.before != UNKNOWN:
            seen = "can no longer be told" if each.after == UNKNOWN else f"is {each.after}"
            words = f"{variable} was {each.before} and {seen}"
            why = f"seen by {each.cause}; no step of Kedge did it"
            self._origins[variable] = self._put(Link(each.seq, each.at, "seen", words, why))
        elif not self._origins.get(variable):
            self._glimpsed.add(each.seq)
            words = f"{variable} is {each.after}"
            self._origins[variable] = self._put(
                Link(each.seq, each.at, "seen", words, f"seen by {each.cause}")
            )

    def _step_behind(self, variable: str, at: float) -> int:
        """The step that is under way, or ended just now, and changes the variable."""
        for name, seq in self._flying.items():
            if variable in self._writes.get(name, ()):
                return seq
        for name, (ended, seq) in reversed(self._ended.items()):
            if at - ended <= AFTERGLOW_S and variable in self._writes.get(name, ()):
                return seq
        return 0

    def _step(self, each: Happening) -> None:
        name = each.subject
        if each.after == "started":
            self._begun = each.seq
            because = self._cause_of(each.cause)
            self._flying[name] = self._put(
                Link(each.seq, each.at, "step", f"{name} began", each.cause, because)
            )
            return
        begun = self._flying.pop(name, 0)
        self._ended.pop(name, None)
        if not begun:
            begun = self._put(Link(each.seq, each.at, "step", name))
        self._ended[name] = (each.at, begun)
        reason = f": {each.cause}" if each.cause else ""
        link = self._links[begun]
        words = f"{name} {_OUTCOMES.get(each.after, each.after)}{reason}"
        self._links[begun] = replace(link, words=words, until=each.at)
        self._last = begun
        if each.after != "done":
            for variable in self._writes.get(name, ()):
                self._origins[variable] = begun

    def _cause_of(self, words: str) -> int:
        """The link behind the variables of a cause, the one that is to be mended first."""
        for variable in reversed(_IS.findall(words)):
            if self._origins.get(variable):
                return self._origins[variable]
        return 0

    def _agent(self, each: Happening) -> None:
        """An agent that is silent: all that it told is unknown from then on."""
        if each.subject == "silent":
            link = Link(each.seq, each.at, "seen", "its agent is silent", each.cause)
            self._hushed, self._hushed_at = self._put(link), each.at + AFTERGLOW_S
            self._glimpsed.add(each.seq)

    def _discovery(self, each: Happening) -> None:
        if each.after:
            if each.subject in self._silent:
                self._glimpsed.add(self._silent[each.subject])
            self._silent[each.subject] = each.seq
            words = f"{each.subject} failed: {each.after}"
            self._links[each.seq] = Link(each.seq, each.at, "seen", words, each.cause)

    def _breaker(self, each: Happening) -> None:
        words = f"the breaker of group {each.subject or '(none)'} is {each.after}"
        self._put(Link(each.seq, each.at, "limit", words, each.cause))

    def _budget(self, each: Happening) -> None:
        words = f"{each.subject}: {each.after}"
        self._put(Link(each.seq, each.at, "limit", words, each.cause, self._last))

    def _phase(self, each: Happening) -> None:
        self._is_now = each.after
        if each.before == "held" and each.after != "held":
            self._last = self._person(each.seq) or self._last
        if each.after not in RESTS:
            return
        because = self._person(each.seq) if each.after == "held" else self._last
        because = because or self._person(each.seq)
        self._put(Link(each.seq, each.at, "rest", each.after, each.cause, because))


_OUTCOMES = {
    "done": "was done",
    "failed": "failed",
    "timeout": "ran out of time",
    "put off": "was put off",
}
