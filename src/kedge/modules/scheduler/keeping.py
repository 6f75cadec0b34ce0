"""Which nodes health takes out of service, and which reasons change. Pure.

A node in service whose checks fail is drained. Of nodes that are drained already, only those that Kedge
drained are touched, and only their reason. When too many of one group would be out for their health at once,
the rest stay in service: a check that is wrong fails everywhere, and must not stop the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kedge.core.kinds import Value
from kedge.modules.scheduler.driver import BY_HAND, OURS

HEALTH = f"{OURS} health:"
HEALTH_BY_HAND = f"{BY_HAND} health:"
REASON_MAX = 200


@dataclass(frozen=True, slots=True)
class Row:
    """A node as far as its health and its service go. ``failed`` is what ``health.failed`` says."""

    node: str
    group: str
    state: str
    drained_by: str
    reason: str
    verdict: str
    failed: Value


@dataclass(frozen=True, slots=True)
class Kept:
    """What to do: drain (or give another reason to) nodes by reason; nodes kept in service despite
    their health, by group."""

    drain: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    spared: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


def keep(rows: Iterable[Row], share_percent: int) -> Kept:
    """What follows from the nodes' health now."""
    kept = Kept()
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    for group, members in sorted(groups.items()):
        room = max(1, len(members) * share_percent // 100) - sum(map(_is_out, members))
        for row in sorted(members, key=lambda row: row.node):
            reason = reason_of(row.failed)
            if row.verdict != "fail":
                continue
            if row.state == "in_service":
                if room > 0:
                    room -= 1
                    kept.drain.setdefault(reason, []).append(row.node)
                else:
                    kept.spared.setdefault(group, []).append(row.node)
            elif _is_ours(row) and row.reason != reason:
                kept.drain.setdefault(reason, []).append(row.node)
    return kept


def reason_of(failed: Value) -> str:
    """The reason for a drain: the checks and what they saw, and whose the way back is."""
    checks = (
        [check for check in failed if isinstance(check, dict)] if isinstance(failed, list) else []
    )
    by_hand = any(check.get("back") == "by_hand" for check in checks)
    said = "; ".join(f"{check.get('check')}: {check.get('why')}" for check in checks)
    clean = "".join(c if c.isprintable() and c not in "'\"\\" else " " for c in said)
    return f"{HEALTH_BY_HAND if by_hand else HEALTH} {clean or 'a check failed'}"[
        :REASON_MAX
    ].strip()


def _is_out(row: Row) -> bool:
    return row.state in ("draining", "drained") and row.reason.startswith((HEALTH, HEALTH_BY_HAND))


def _is_ours(row: Row) -> bool:
    """Whether it is drained by Kedge, and its reason is Kedge's to change."""
    drained = row.state in ("draining", "drained") and row.drained_by == "kedge"
    return drained and not row.reason.startswith(BY_HAND)
