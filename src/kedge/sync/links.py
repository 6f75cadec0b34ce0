"""A parent's sessions with all its children: their timers, and what is to be sent.

One heap of timers and one queue of links with something to say, whatever the number of children.
"""

from __future__ import annotations

import heapq

from kedge.sync.admission import Node
from kedge.sync.keys import RandomBytes
from kedge.sync.link import NEVER_AT, Link
from kedge.sync.pulse import Pulses
from kedge.sync.session import Address, Input
from kedge.sync.v1 import sync_pb2 as pb


class Links:
    """All links by this end's key id."""

    def __init__(self, random_bytes: RandomBytes) -> None:
        self.loose: list[tuple[bytes, Address]] = []  # ready to be sent as they are
        self.pulses = Pulses()
        self._random_bytes = random_bytes
        self._links: dict[int, Link] = {}
        self._ready: dict[int, Link] = {}
        self._timers: list[tuple[float, int]] = []

    def get(self, key_id: int | None) -> Link | None:
        return self._links.get(key_id) if key_id is not None else None

    def of(self, node: Node) -> list[Link]:
        """The node's links, oldest first."""
        links = [self._links[key_id] for key_id in node.sessions]
        return sorted(links, key=lambda link: link.session.created_at)

    def everyone(self) -> list[Link]:
        return list(self._links.values())

    def new_key_id(self) -> int:
        """A key id that is not in use; it is random so that strangers do not guess it."""
        while True:
            key_id = int.from_bytes(self._random_bytes(4), "big")
            if key_id and key_id not in self._links:
                return key_id

    def add(self, link: Link) -> None:
        key_id = link.session.key_id
        self._links[key_id] = link
        link.node.sessions.add(key_id)
        self._ready[key_id] = link

    def close(self, link: Link, what: Input) -> None:
        """End a session with an input that closes it, and forget its keys."""
        self.pulses.drop(link)
        link.session.feed(what)
        key_id = link.session.key_id
        self._links.pop(key_id, None)
        self._ready.pop(key_id, None)
        link.node.sessions.discard(key_id)
        if link.node.current == key_id:
            link.node.current = None

    def send(self, link: Link, frame: pb.Frame) -> bytes:
        """Seal a frame and put it with what is to be sent; returns its bytes."""
        self.pulses.drop(link)
        session = link.session
        plain = frame.SerializeToString()
        self.loose.append((session.seal(plain), session.address))
        return plain

    def touch(self, link: Link) -> None:
        """The link may have something to say."""
        self._ready[link.session.key_id] = link
        self.pulses.drop(link)

    def take_ready(self, now: float) -> list[Link]:
        """The links that may have something to say or to do; each is then given ``wake``."""
        while self._timers and self._timers[0][0] <= now:
            at, key_id = heapq.heappop(self._timers)
            link = self._links.get(key_id)
            if link is not None and link.wake_at == at:
                link.wake_at = NEVER_AT
                self.pulses.settle(link)
                self._ready[key_id] = link
        ready, self._ready = self._ready, {}
        return list(ready.values())

    def wake(self, link: Link, at: float) -> None:
        """Come back to the link then. An earlier time that is set already stays, and asks again."""
        if at < link.wake_at:
            link.wake_at = at
            heapq.heappush(self._timers, (at, link.session.key_id))

    def next_timeout(self, now: float) -> float | None:
        if self._ready or self.loose:
            return now
        return self._timers[0][0] if self._timers else None

    def write(self, link: Link, now: float) -> None:
        """Send what the exchange of a live link has to say."""
        heard, link.asked = link.asked, None
        said = [self.send(link, frame) for frame in link.exchange.write(now)]
        if heard is not None and len(said) == 1 and link.exchange.is_quiet:
            self.pulses.keep(link, heard, said[0])
