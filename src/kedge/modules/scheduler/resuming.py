"""Nodes that were told to serve again while an older answer still calls them out of service. Pure.

From the telling on a job may begin on them. So only an answer to a question that was asked *after* the
telling may call them drained or down; and where nobody knows what became of it, as no answer came, one
that was asked when it can no longer be carried out.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

LATE_S = 120.0
"""How long after its caller has given up a scheduler may still carry a command out: twice the time in
which slurmctld answers at its worst (MessageTimeout is 10 s, and up to 60 s on large machines)."""

OUT = ("drained", "down")
NOTICE = "told to serve again: counts as busy until the scheduler has been asked anew"


class Resuming:
    """Of which nodes an answer is not yet believed. Moments are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._from: dict[str, float] = {}

    def told(self, nodes: Iterable[str]) -> None:
        """These nodes are being told to serve again."""
        self._from.update(dict.fromkeys(nodes, inf))

    def ended(self, nodes: Iterable[str], at: float, *, known: bool) -> None:
        """The telling is over; ``known`` where the scheduler has answered, whatever it said."""
        self._from.update(dict.fromkeys(nodes, at if known else at + LATE_S))

    def doubts(self, node: str, state: str, asked_at: float) -> bool:
        """Whether ``state``, from an answer to what was asked at ``asked_at``, may be out of date."""
        since = self._from.get(node)
        if since is None:
            return False
        if asked_at > since or (state == "in_service" and since < inf):
            del self._from[node]
            return False
        return state in OUT
