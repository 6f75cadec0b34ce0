"""Between the nodes' agents and the head: what they tell becomes observations, and back again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping

from kedge.master.agents.permits import Permits
from kedge.master.agents.reports import BY, take_in
from kedge.master.engine.head import Head
from kedge.sync.events import (
    ConfiguredAcked,
    Discovered,
    Joined,
    Left,
    Lost,
    ParentEvent,
    Refused,
    Resumed,
)

FAREWELL_LASTS_S = 180.0
"""How long what an agent told stays good after it said good-bye: it hands over, or goes down."""


class Neighbours:
    """Hears the link's events, in order. ``reported`` is what the link holds of a node's reports;
    ``elsewhere`` are the nodes whose agents another parent hears."""

    reported: Callable[[str], Mapping[str, bytes]]
    elsewhere: Container[str] = ()

    def __init__(self, head: Head, permits: Permits) -> None:
        self._head = head
        self._permits = permits
        self._farewells: dict[str, asyncio.TimerHandle] = {}

    def told(self, event: ParentEvent) -> None:
        """Apply one event of the link."""
        head = self._head
        match event:
            case Joined():
                self._permits.end(event.node)
                head.forget_reports(event.node, BY, what="joined", why=f"boot epoch {event.epoch}")
                self._attached(event.node, True)
            case Resumed():
                self._attached(event.node, True)
                # It reports only what is new to the link; what was forgotten while it was silent is not.
                take_in(head, event.node, self.reported(event.node))
            case Discovered():
                take_in(head, event.node, event.changes)
            case Lost():
                self._attached(event.node, False)
                self._silent(event.node, f"nothing heard for {event.silent_s:.0f} s")
            case Left():
                self._attached(event.node, False)
                loop = asyncio.get_running_loop()
                self._farewells[event.node] = loop.call_later(
                    FAREWELL_LASTS_S, self._gone, event.node
                )
            case Refused():
                known = event.node if event.node in head.nodes else ""
                address = event.address[0]
                head.journal.write(known, "refused", f"sync from {address}", cause=event.reason)
            case ConfiguredAcked():
                pass

    def _attached(self, name: str, attached: bool) -> None:
        farewell = self._farewells.pop(name, None)
        if farewell is not None:
            farewell.cancel()
        node = self._head.nodes.get(name)
        if node is not None:
            node.attached = attached

    def _gone(self, name: str) -> None:
        del self._farewells[name]
        self._silent(name, f"it said good-bye {FAREWELL_LASTS_S:.0f} s ago and did not come back")

    def _silent(self, name: str, why: str) -> None:
        if name not in self.elsewhere:
            self._head.forget_reports(name, BY, what="silent", why=why)
