"""A line of waiters: cheap to join at the end, to leave at the front, and to find one's place in.

Tickets are whole numbers that rise, so a line is a sorted list, and who comes back with an old ticket
stands where it stood before. 100,000 nodes may wait in one line and each be told its place.
"""

from __future__ import annotations

from bisect import bisect_left, insort

SLACK = 1000
"""How many places left at the front are kept before the list is cut."""


class Line:
    """Tickets in order."""

    def __init__(self) -> None:
        self._tickets: list[int] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._tickets) - self._first

    @property
    def head(self) -> int:
        """The ticket that comes first; there must be one."""
        return self._tickets[self._first]

    def tickets(self) -> list[int]:
        """All of them, in order."""
        return self._tickets[self._first :]

    def join(self, ticket: int) -> None:
        """Stand where the ticket belongs."""
        insort(self._tickets, ticket, self._first)

    def ahead(self, ticket: int) -> int:
        """How many come before it."""
        return bisect_left(self._tickets, ticket, self._first) - self._first

    def leave(self, ticket: int) -> None:
        """It does not wait any more; it must have waited."""
        place = bisect_left(self._tickets, ticket, self._first)
        if place > self._first:
            del self._tickets[place]
            return
        self._first += 1
        if self._first > SLACK and 2 * self._first > len(self._tickets):
            del self._tickets[: self._first]
            self._first = 0
