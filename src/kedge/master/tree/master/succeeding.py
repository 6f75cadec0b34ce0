"""A sub-master that joins anew: another process has taken the name, and remembers nothing.

What the former one told is its predecessor's, and only so far still worth something: its groups wait for its
lease to end, and its agents are taken to run until they come to a parent, for a bounded time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kedge.master.tree.logs import LogDown
from kedge.master.tree.master.down import Down
from kedge.master.tree.master.known import SubMaster
from kedge.master.tree.master.ownership import Ownership
from kedge.master.tree.master.relayed import Relayed

COMES_BACK_S = 300.0
"""So long an agent may take to come to a parent when its own has forgotten it."""


class Succeeding:
    """Tells the parts of the master's side. ``owner_stale`` hears of nodes of which something else counts."""

    def __init__(
        self,
        ownership: Ownership,
        relayed: Relayed,
        logs: LogDown,
        down: Down,
        owner_stale: Callable[[str], None],
    ) -> None:
        self._ownership, self._relayed, self._logs, self._down = ownership, relayed, logs, down
        self._owner_stale = owner_stale

    def joined(self, known: SubMaster) -> None:
        """Before the new process is told anything."""
        self._ownership.joined(known.name)
        self._relayed.succeeded(known.name)
        self._logs.begin_anew(known.name)
        known.wishes.clear()
        known.answered.clear()
        self._down.answer(known)
        loop = asyncio.get_running_loop()
        loop.call_later(COMES_BACK_S, self._give_up, known.name)

    def _give_up(self, name: str) -> None:
        for node in self._relayed.give_up(name):
            self._owner_stale(node)
