"""When a child's next heartbeat is due: regular while it is answered, soon again while it is not."""

from __future__ import annotations

from kedge.sync.keys import Chance
from kedge.sync.transfer import back_off


class Beat:
    """The heartbeat's timer."""

    __slots__ = ("_chance", "_first_s", "at", "every_s", "lost_after_s", "unanswered")

    def __init__(self, first_s: float, chance: Chance) -> None:
        """``first_s``: before an unanswered heartbeat is repeated, doubling."""
        self._first_s = first_s
        self._chance = chance
        self.at = 0.0
        self.every_s = self.lost_after_s = 0.0
        self.unanswered = 0

    def begin(self, now: float, every_s: float, lost_after_s: float) -> None:
        """A session begins with a heartbeat."""
        self.at, self.every_s, self.lost_after_s = now, every_s, lost_after_s
        self.unanswered = 0

    def asked(self, now: float) -> None:
        """A heartbeat was sent."""
        self.at = now + back_off(self.unanswered, self._chance, self._first_s, self.every_s)
        self.unanswered += 1

    def answered(self, now: float) -> None:
        """The parent has spoken."""
        if self.unanswered:
            self.unanswered = 0
            self.at = now + self.every_s * (0.875 + 0.25 * self._chance.random())
