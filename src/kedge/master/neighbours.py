"""Between the nodes' agents and the head: what they tell becomes observations, and back again."""

from __future__ import annotations

from kedge.master.head import Head
from kedge.master.permits import Permits
from kedge.master.reports import BY, take_in
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


class Neighbours:
    """Hears the link's events, in order."""

    def __init__(self, head: Head, permits: Permits) -> None:
        self._head = head
        self._permits = permits

    def told(self, event: ParentEvent) -> None:
        """Apply one event of the link."""
        head = self._head
        match event:
            case Joined():
                self._permits.end(event.node)
                head.forget_reports(event.node, BY, why=f"booted, epoch {event.epoch}")
                self._attached(event.node, True)
            case Resumed():
                self._attached(event.node, True)
            case Discovered():
                take_in(head, event.node, event.changes)
            case Lost():
                self._attached(event.node, False)
                why = f"the agent has been silent for {event.silent_s:.0f} s"
                head.forget_reports(event.node, BY, why=why)
            case Left():
                self._attached(event.node, False)
            case Refused():
                known = event.node if event.node in head.nodes else ""
                address = event.address[0]
                head.journal.write(known, "refused", f"sync from {address}", cause=event.reason)
            case ConfiguredAcked():
                pass

    def _attached(self, name: str, attached: bool) -> None:
        node = self._head.nodes.get(name)
        if node is not None:
            node.attached = attached
