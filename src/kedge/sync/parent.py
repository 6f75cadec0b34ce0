"""The parent's end: the head, to which all its nodes' agents speak.

Sans-IO. The shell around it (the master's asyncio DatagramProtocol) does this and nothing else:

- one UDP socket with a receive buffer of 32 MB (SO_RCVBUFFORCE; every node may speak at once);
  every datagram that arrives: ``receive_datagram(bytes, address, now)``, as many as there are;
- after that, after ``set_configured`` and whenever ``next_timeout()`` has come: take all
  ``next_event()`` until None, then send all of ``datagrams_to_send(now)``;
- on ``Joined`` store the node's epoch and key *before* sending (the answer tells the child that
  its token is no more), and after a restart give it back with ``know``;
- addresses are what the socket takes; ``now`` is any monotonic clock in seconds; ``chance`` is a
  seeded ``random.Random``; ``random_bytes`` is ``os.urandom``;
- ``incarnation`` is an Epoch greater than that of every earlier parent of these nodes: the owner's
  fencing term and a counter that the store raises at each start.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from kedge.lib.errors import KedgeError
from kedge.sync import handshake, wire
from kedge.sync.admission import OFFERS_MAX, Admission, Node, Quiet, Rate, judge
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
from kedge.sync.exchange import Exchange, News
from kedge.sync.keys import Chance, RandomBytes
from kedge.sync.record import Incoming, Outgoing
from kedge.sync.session import Address, Effect, Input, Session, State
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Header, Kind

EVENTS_MAX = 65536  # unread events; beyond that datagrams are dropped, and come again


@dataclass(frozen=True, slots=True)
class ParentOptions:
    """How a parent treats its children."""

    heartbeat_s: float = 10.0
    lost_after: float = 3.5  # heartbeats
    offer_s: float = 10.0  # how long a welcome waits for its confirmation
    overlap_s: float = 10.0  # how long the session before is still read
    handshakes_per_s: float = 2000.0
    handshakes_burst: float = 10000.0
    refused_every_s: float = 10.0  # per node and reason, for the event
    advice_every_s: float = 1.0  # per address, for what is sent to strangers

    @property
    def lost_after_s(self) -> float:
        return self.heartbeat_s * self.lost_after


@dataclass(slots=True)
class Link:
    """A session and what belongs to it at the parent's end."""

    session: Session
    exchange: Exchange
    node: Node
    agreed: handshake.Agreed
    welcome: bytes  # sent again when the same hello comes again
    nonce: bytes  # of that hello
    is_join: bool
    renewal: bool
    wake_at: float = float("inf")


class Parent:
    """The end of the sync that admits, configures and listens to children."""

    def __init__(
        self,
        *,
        incarnation: Epoch,
        random_bytes: RandomBytes,
        chance: Chance,
        options: ParentOptions | None = None,
    ) -> None:
        self.incarnation = incarnation
        self._options = options or ParentOptions()
        self._random_bytes = random_bytes
        self._chance = chance
        self._nodes: dict[str, Node] = {}
        self._links: dict[int, Link] = {}  # by our key id
        self._ready: dict[int, None] = {}  # links that may have something to send
        self._timers: list[tuple[float, int]] = []
        self._loose: list[tuple[bytes, Address]] = []  # welcomes, refusals, notices, good-byes
        self._events: deque[ParentEvent] = deque()
        self._handshakes = Rate(self._options.handshakes_per_s, self._options.handshakes_burst)
        self._refused = Quiet(self._options.refused_every_s)
        self._advice = Quiet(self._options.advice_every_s)
        self._now = 0.0

    # ---- what the caller wants

    def admit(self, node: str, epoch: Epoch, token: bytes, valid_until: float) -> None:
        """Let the node join once with this token (32 bytes) until ``valid_until`` on our clock.

        The epoch must be greater than that of the node's last boot; an earlier token is void.
        """
        if len(token) != wire.SECRET_BYTES:
            raise KedgeError("sync.bad_token", "a boot token has 32 bytes", where=node)
        known = self._node(node)
        if known.epoch is not None and epoch <= known.epoch:
            raise KedgeError(
                "sync.old_epoch",
                f"epoch {epoch} is not after the epoch of its last boot, {known.epoch}",
                where=node,
            )
        self.revoke(node)
        known.admission = Admission(epoch, token, valid_until)

    def revoke(self, node: str) -> None:
        """Take the token back; a node that has joined with it stays."""
        known = self._nodes.get(node)
        if known is None or known.admission is None:
            return
        known.admission = None
        for key_id in list(known.sessions):
            link = self._links[key_id]
            if link.is_join and link.session.state is State.OFFERED:
                self._close(link, Input.REVOKED)

    def know(self, node: str, epoch: Epoch, node_key: bytes) -> None:
        """Give back from the store what ``Joined`` said: the node can resume its session."""
        known = self._node(node)
        if known.epoch is not None and epoch < known.epoch:
            return
        if len(node_key) != wire.SECRET_BYTES:
            raise KedgeError("sync.bad_key", "a node key has 32 bytes", where=node)
        if epoch != known.epoch:
            self._begin_epoch(known, epoch, node_key, None)

    def forget(self, node: str) -> None:
        """The node is no more: end its sessions, drop its records and keys."""
        known = self._nodes.pop(node, None)
        for key_id in list(known.sessions) if known is not None else ():
            self._close(self._links[key_id], Input.REVOKED)

    def set_configured(self, node: str, entries: Mapping[str, bytes]) -> None:
        """What the node should be, whole; names that are gone become unknown at the node."""
        known = self._node(node)
        gone = {name: None for name in known.outgoing.entries if name not in entries}
        if known.outgoing.write({**entries, **gone}) and known.current is not None:
            self._ready[known.current] = None

    def configured_version(self, node: str) -> int:
        """The version that ``ConfiguredAcked`` will name when the node holds all of it."""
        known = self._nodes.get(node)
        return known.outgoing.version if known is not None else 0

    def discovered(self, node: str) -> dict[str, bytes]:
        """What the node reported, as far as it came."""
        known = self._nodes.get(node)
        return known.incoming.values() if known is not None else {}

    def is_attached(self, node: str) -> bool:
        """Whether the node has a session and is not silent."""
        known = self._nodes.get(node)
        if known is None or known.current is None:
            return False
        return self._links[known.current].session.state is State.LIVE

    def close(self) -> None:
        """Say good-bye to all with the next datagrams: children seek another parent at once."""
        for link in list(self._links.values()):
            if link.session.state is State.LIVE:
                frame = pb.Frame(bye=pb.Bye(why=pb.Bye.WHY_CLOSING))
                self._send(link, frame)
                self._close(link, Input.REVOKED)

    # ---- sans-IO

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """Take in a datagram from anybody. Never raises for what is in it."""
        self._now = now
        header = wire.parse_header(datagram)
        if header is None or len(self._events) >= EVENTS_MAX:
            return
        if header.kind is Kind.SEALED:
            self._read_sealed(header, datagram, address, now)
        elif header.kind is Kind.HELLO:
            self._read_hello(header, datagram, address, now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """Everything to send now."""
        self._now = now
        while self._timers and self._timers[0][0] <= now:
            at, key_id = heapq.heappop(self._timers)
            link = self._links.get(key_id)
            if link is not None and link.wake_at == at:
                link.wake_at = float("inf")
                self._ready[key_id] = None
        ready, self._ready = self._ready, {}
        for key_id in ready:
            link = self._links.get(key_id)
            if link is None:
                continue
            self._run_timers(link, now)
            if link.session.state is State.LIVE:
                for frame in link.exchange.write(now):
                    self._send(link, frame)
            if link.session.state is not State.CLOSED:
                self._set_timer(link, now)
        out, self._loose = self._loose, []
        return out

    def next_timeout(self) -> float | None:
        """When ``datagrams_to_send`` wants to be called again, on the caller's clock."""
        if self._ready or self._loose:
            return self._now
        return self._timers[0][0] if self._timers else None

    def next_event(self) -> ParentEvent | None:
        """The oldest event that was not taken yet."""
        return self._events.popleft() if self._events else None
