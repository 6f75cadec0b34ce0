"""When a node without a scheduler may be disturbed: at any time, in windows, without sessions, few at once.

Such a node is *drained* like any other: Kedge closes it, which is a note in its own memory, and it counts
as drained once all that its policy demands holds. So gates, budgets and plans are the same as for a node
with jobs. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kedge.core.kinds import Enum, Integer, ListOf, Struct, Text, Value
from kedge.lib import nodeset

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "(?:" + "|".join(DAYS) + ")"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
WINDOW = rf"(?:{_DAY}(?:-{_DAY})? )?{_TIME}-{_TIME}"
_PARTS = re.compile(rf"(?:({_DAY})(?:-({_DAY}))? )?({_TIME})-({_TIME})")

POLICY = Struct(
    {
        "kind": Enum(("jobs", "people", "free")),
        "windows": ListOf(Text(WINDOW, "Sun 02:00-06:00"), most=50),
        "sessions": Enum(("empty", "ignore")),
        "at_once": Integer(1, 100_000),
        "role": Text(r"[A-Za-z0-9._-]{1,63}", "login"),
    },
)
"""``kind``: who decides. ``jobs``: the scheduler; ``people``: the other keys; ``free``: nobody. ``at_once``:
how many nodes of one ``role`` (the group, unless given) may be out of service at a time."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A node's policy, read."""

    kind: str
    windows: tuple[str, ...] = ()
    sessions_empty: bool = False
    at_once: int = 0
    role: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, in the head's local time: day of the week (0: Monday) and minute of the day."""

    weekday: int
    minute: int


def rule_of(written: Value, group: str, *, scheduler: bool, wanted: bool) -> Rule:
    """The rule that a node's ``scheduler.policy`` says. Where it says no kind, it is ``jobs`` on a site
    with a ``scheduler``; on one without, nodes that are ``wanted`` in service may be closed at any time."""
    policy = written if isinstance(written, dict) else {}
    chosen = policy.get("kind")
    if not isinstance(chosen, str):
        others = set(policy) - {"kind"}
        chosen = "people" if others else "jobs" if scheduler else "people" if wanted else "free"
    windows = policy.get("windows")
    at_once = policy.get("at_once")
    return Rule(
        chosen,
        tuple(str(window) for window in windows) if isinstance(windows, list) else (),
        policy.get("sessions") == "empty",
        at_once if isinstance(at_once, int) else 0,
        str(policy.get("role") or group),
    )


def is_open(windows: Iterable[str], now: Moment) -> bool:
    """Whether one of the windows is open; one that ends before it begins ends on the next day."""
    chosen = list(windows)
    return not chosen or any(_covers(window, now) for window in chosen)


def _covers(window: str, now: Moment) -> bool:
    parts = _PARTS.fullmatch(window)
    if parts is None:
        return False
    first, last, begin, end = parts.groups()
    begins, ends = _minute(begin), _minute(end)
    today, yesterday = now.weekday, (now.weekday - 1) % 7
    if begins < ends:
        return _on(first, last, today) and begins <= now.minute < ends
    return (_on(first, last, today) and now.minute >= begins) or (
        _on(first, last, yesterday) and now.minute < ends
    )


def _on(first: str | None, last: str | None, day: int) -> bool:
    if first is None:
        return True
    start, end = DAYS.index(first), DAYS.index(last or first)
    return start <= day <= end if start <= end else day >= start or day <= end


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


class Closed:
    """The nodes that Kedge closed, oldest first, and which of them were granted. Forgotten when Kedge
    restarts: what is still to be done closes them again."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.granted: set[str] = set()

    def close(self, node: str, reason: str) -> None:
        """Begin to empty a node."""
        self.reasons[node] = reason

    def open(self, node: str) -> None:
        """Take it back into service."""
        self.reasons.pop(node, None)
        self.granted.discard(node)

    def grant(
        self,
        rules: Mapping[str, Rule],
        sessions: Mapping[str, int | None],
        now: Moment,
        away: Collection[str] = (),
    ) -> dict[str, str]:
        """Grant what may be granted now; why the others still wait. A grant lasts until `open`. Nodes that
        are ``away`` serve nobody, for whatever reason: they count as out, and their turn comes first."""
        waits: dict[str, str] = {}
        out: dict[str, list[str]] = {}
        for node in sorted(self.granted.union(away)):
            if node in rules and (node in self.granted or node not in self.reasons):
                out.setdefault(rules[node].role, []).append(node)
        for node in sorted(self.reasons, key=lambda node: node not in away):
            rule = rules.get(node)
            if rule is None or node in self.granted:
                continue
            others = out.setdefault(rule.role, [])
            why = _why_not(rule, sessions.get(node), now, others)
            if why:
                waits[node] = why
            else:
                self.granted.add(node)
            if not why or node in away:
                others.append(node)
        return waits


def _why_not(rule: Rule, sessions: int | None, now: Moment, others: list[str]) -> str:
    if not is_open(rule.windows, now):
        return f"waiting for a window: {', '.join(rule.windows)}"
    if rule.sessions_empty and sessions is None:
        return "waiting to hear how many sessions are open"
    if rule.sessions_empty and sessions:
        return f"waiting for {sessions} open session{'s' if sessions > 1 else ''} to end"
    if rule.at_once and len(others) >= rule.at_once:
        return (
            f"waiting for {nodeset.fold(others)} of the role {rule.role} to be back: "
            f"{rule.at_once} at once"
        )
    return ""
