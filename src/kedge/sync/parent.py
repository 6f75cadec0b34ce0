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

from collections import deque
from collections.abc import Iterable, Mapping

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.admission import Admission, Node, Quiet
from kedge.sync.door import Door, ParentOptions
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
from kedge.sync.exchange import News
from kedge.sync.keys import Chance, RandomBytes
from kedge.sync.links import NEVER_AT, Link, Links
from kedge.sync.record import NOTHING, Entry, Incoming, Outgoing, Stamp
from kedge.sync.session import Address, Effect, Input, State
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Header, Kind

EVENTS_MAX = 65536  # unread events; beyond that datagrams are dropped, and come again


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
        self._chance = chance
        self._nodes: dict[str, Node] = {}
        self._links = Links(random_bytes)
        self._events: deque[ParentEvent] = deque()
        self._door = Door(self._links, self._options, random_bytes, chance)
        self._outranked = Quiet(self._options.refused_every_s)
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
        for link in self._links.of(known):
            if link.is_join and link.session.state is State.OFFERED:
                self._links.close(link, Input.REVOKED)

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
        for link in self._links.of(known) if known is not None else ():
            self._links.close(link, Input.REVOKED)

    def set_configured(
        self, node: str, entries: Mapping[str, bytes], tenure: Epoch | None = None
    ) -> None:
        """What the node should be, whole; names that are gone become unknown at the node.

        After a restart say nothing until it *is* whole: the first call replaces what the node has.
        ``tenure`` (None: the incarnation) orders this record among those of all owners of the node.
        """
        known = self._node(node)
        if tenure is not None:
            known.outgoing.succeed(tenure)
        gone = {name: None for name in known.outgoing.entries if name not in entries}
        changed = known.outgoing.write({**entries, **gone}) or known.outgoing.declare()
        self._said(known, changed)

    def change_configured(self, node: str, changes: Mapping[str, bytes | None]) -> None:
        """Set some names of what the node should be, None for unknown; the others stay.

        Costs no more than the changes, however large the record is. What holds of ``set_configured``
        after a restart holds here: begin with all of it.
        """
        known = self._node(node)
        self._said(known, known.outgoing.write(changes))

    def _said(self, known: Node, changed: bool) -> None:
        link = self._links.get(known.current) if changed else None
        if link is not None:
            self._links.touch(link.session.key_id)
            self._check_fits(link, link.session.address, self._now)

    def configured_version(self, node: str) -> int:
        """The version that ``ConfiguredAcked`` will name when the node holds all of it."""
        known = self._nodes.get(node)
        return known.outgoing.version if known is not None else 0

    def discovered(self, node: str) -> dict[str, bytes]:
        """What the node reported, as far as it came."""
        known = self._nodes.get(node)
        return known.incoming.values() if known is not None else {}

    def held(self, node: str) -> tuple[Stamp, Mapping[str, Entry]]:
        """The discovered record as it came, with its stamp: what a relay passes on."""
        known = self._nodes.get(node)
        return (NOTHING, {}) if known is None else (known.incoming.stamp, known.incoming.entries)

    def epoch(self, node: str) -> Epoch | None:
        """The epoch of the boot that joined last, here or (`know`) elsewhere."""
        known = self._nodes.get(node)
        return known.epoch if known is not None else None

    def is_attached(self, node: str) -> bool:
        """Whether the node has a session and is not silent."""
        known = self._nodes.get(node)
        link = self._links.get(known.current) if known is not None else None
        return link is not None and link.session.state is State.LIVE

    def close(self) -> None:
        """Say good-bye to all with the next datagrams: children seek another parent at once."""
        for link in self._links.everyone():
            if link.session.state is State.LIVE:
                self._links.send(link, pb.Frame(bye=pb.Bye(why=pb.Bye.WHY_CLOSING)))
            self._links.close(link, Input.REVOKED)

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

    def receive(self, batch: Iterable[tuple[bytes, Address]], now: float) -> None:
        """Take in many datagrams at once."""
        for datagram, address in batch:
            self.receive_datagram(datagram, address, now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """Everything to send now."""
        self._now = now
        for link in self._links.take_ready(now):
            at = self._run_timers(link, now)
            if link.session.state is not State.CLOSED:
                self._links.write(link, now)
                due_at = link.exchange.due_at(now) if link.session.state is State.LIVE else None
                self._links.wake(link, at if due_at is None else min(at, due_at))
        out, self._links.loose = self._links.loose, []
        return out

    def next_timeout(self) -> float | None:
        """When ``datagrams_to_send`` wants to be called again, on the caller's clock."""
        return self._links.next_timeout(self._now)

    def next_event(self) -> ParentEvent | None:
        """The oldest event that was not taken yet."""
        return self._events.popleft() if self._events else None

    # ---- within

    def _node(self, name: str) -> Node:
        known = self._nodes.get(name)
        if known is None:
            if not 0 < len(name.encode()) <= wire.NAME_MAX_BYTES:
                raise KedgeError("sync.bad_name", "not the name of a node", where=name[:80])
            known = self._nodes[name] = Node(name, Outgoing(self.incarnation))
        return known

    def _run_timers(self, link: Link, now: float) -> float:
        """Let time change the session; returns when it will do so next."""
        session, options = link.session, self._options
        if session.state is State.OFFERED:
            until = session.created_at + options.offer_s
            if now >= until:
                self._links.close(link, Input.SILENCE)
        elif session.state is State.LIVE:
            until = session.heard_at + options.lost_after_s
            if now >= until and session.feed(Input.SILENCE) is Effect.LOSE:
                silent_s = now - session.heard_at
                self._events.append(Lost(link.node.name, link.exchange.epoch, silent_s))
                until = NEVER_AT
        elif session.state is State.OLD:
            until = session.until
            if now >= until:
                self._links.close(link, Input.OVERLAP_OVER)
        else:
            until = NEVER_AT
        return until

    def _read_hello(self, header: Header, datagram: bytes, address: Address, now: float) -> None:
        hello = self._door.read(datagram)
        if hello is None:
            return
        node = self._nodes.get(hello.node)
        refused = self._door.knock(node, hello, header, datagram, address, now)
        if refused is not None:
            self._events.append(refused)

    def _begin_epoch(self, node: Node, epoch: Epoch, key: bytes, keep: Link | None) -> None:
        """The node has a new boot: nothing of the earlier ones counts any more."""
        for link in self._links.of(node):
            if link is not keep:
                self._links.close(link, Input.REVOKED)
        node.epoch, node.key = epoch, key
        node.incoming = Incoming()
        if node.admission is not None and node.admission.epoch <= epoch:
            node.admission = None

    def _go_live(self, link: Link, now: float) -> None:
        node, address = link.node, link.session.address
        before = self._links.get(node.current)
        epoch = link.exchange.epoch
        if link.is_join:
            self._begin_epoch(node, epoch, link.agreed.keys.node, link)
            link.exchange.incoming = node.incoming
            self._events.append(Joined(node.name, epoch, link.agreed.keys.node, address))
        else:
            was_live = before is not None and before.session.state is State.LIVE
            if before is not None:
                before.session.feed(Input.REPLACED)
                before.session.until = now + self._options.overlap_s
                self._links.touch(before.session.key_id)
            if not (link.renewal and was_live):
                self._events.append(Resumed(node.name, epoch, address))
        node.current = link.session.key_id
        self._check_fits(link, address, now)

    def _check_fits(self, link: Link, address: Address, now: float) -> None:
        """A child of an older release takes no record of a sub-master: say so, it will not come."""
        name = link.node.name
        if not link.exchange.fits and self._outranked.may((name, "fits"), now):
            reason = "its release takes no configuration as large as this"
            self._events.append(Refused(address, name, reason))

    def _read_sealed(self, header: Header, datagram: bytes, address: Address, now: float) -> None:
        link = self._links.get(header.key_id)
        if link is None:
            self._door.unknown_key(header, datagram, address, now)
            return
        session = link.session
        opened = session.open(header, datagram)
        frame = wire.parse_frame(opened[0]) if opened is not None else None
        if opened is None or frame is None:
            return
        newest = opened[1]
        effect = session.feed(Input.FRAME)
        if newest:
            session.heard_at = now
            session.address = address
        if effect is Effect.GO_LIVE:
            self._go_live(link, now)
        elif effect is Effect.RETURN:
            self._events.append(Resumed(link.node.name, link.exchange.epoch, address))
        current = link.node.current == session.key_id
        news = link.exchange.read(frame, counter=header.counter, current=current, now=now)
        self._tell(link, news, address, now)
        if news.bye is not None and session.feed(Input.BYE) is not None:
            if current:
                moved = news.bye == pb.Bye.WHY_MOVED
                self._events.append(Left(link.node.name, link.exchange.epoch, moved))
            self._links.close(link, Input.BYE)
        else:
            self._links.touch(session.key_id)

    def _tell(self, link: Link, news: News, address: Address, now: float) -> None:
        node, epoch = link.node, link.exchange.epoch
        if news.applied:
            changes = news.changes
            if news.full:
                changes = {name: entry.value for name, entry in node.incoming.entries.items()}
            self._events.append(Discovered(node.name, epoch, changes, full=news.full))
        if news.acked is not None:
            self._events.append(ConfiguredAcked(node.name, news.acked))
        if news.outranked and self._outranked.may(node.name, now):
            reason = "holds a configuration of a later owner"
            self._events.append(Refused(address, node.name, reason))
