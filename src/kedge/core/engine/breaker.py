"""The breaker: no automatic destructive step in a group where too many nodes failed at once.

When many nodes of a group fall silent together, the fault is rather in what they share (a switch,
the head's own cable) than in each of them, and powering all of them off would turn a hiccup into an
outage. So it counts the *nodes* of a group that failed within a window. It closes by itself when the
window has passed, and a person may let a single node through (`Retried`, `Requested`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kedge.core.engine.settings import Settings


@dataclass(slots=True)
class _Group:
    members: int = 0
    failed_at: dict[str, float] = field(default_factory=dict[str, float])


class Breaker:
    """Failures per group, by node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups: dict[str, _Group] = {}
        self.touched = 0
        """How often a failure was counted or pardoned, or the answer hung on one."""
        self.asked = 0

    def join(self, group: str, nodes: int = 1) -> None:
        """A node (or several) belongs to ``group`` from now on."""
        self._groups.setdefault(group, _Group()).members += nodes

    def leave(self, group: str, node: str) -> None:
        """It no longer does."""
        self.touched += 1
        known = self._groups[group]
        known.members -= 1
        known.failed_at.pop(node, None)
        if known.members == 0:
            del self._groups[group]

    def failed(self, group: str, node: str, now: float) -> None:
        """A node of the group failed. The newest failure comes last."""
        self.touched += 1
        failed_at = self._groups[group].failed_at
        failed_at.pop(node, None)
        failed_at[node] = now

    def pardon(self, group: str, node: str) -> None:
        """A person took care of the node: it no longer counts."""
        if self._groups[group].failed_at.pop(node, None) is not None:
            self.touched += 1

    def failing(self, group: str) -> bool:
        """Whether any node of the group counts as failed, or did when it was last asked."""
        return bool(self._groups[group].failed_at)

    def open_until(self, group: str, now: float) -> tuple[float, int, int] | None:
        """While open: when to look again, how many failed, and of how many."""
        known = self._groups[group]
        self.asked += 1
        if known.failed_at:
            self.touched += 1
        oldest_valid = now - self._settings.breaker_window_s
        while known.failed_at:
            node = next(iter(known.failed_at))
            if known.failed_at[node] > oldest_valid:
                break
            del known.failed_at[node]
        failed = len(known.failed_at)
        if failed < max(self._settings.breaker_least, self._settings.breaker_share * known.members):
            return None
        oldest = known.failed_at[next(iter(known.failed_at))]
        return oldest + self._settings.breaker_window_s, failed, known.members
