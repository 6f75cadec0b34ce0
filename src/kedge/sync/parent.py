"""The parent's end: the head, to which all its nodes' agents speak.

Sans-IO. The shell around it (the master's asyncio DatagramProtocol) does this and nothing else:

- one UDP socket with a receive buffer of 32 MB (SO_RCVBUFFORCE; every node may speak at once);
  the datagrams that have arrived, as many as there are: ``receive([(bytes, address), ...], now)``;
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

from collections.abc import Iterable, Mapping

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.admission import Admission, Node
from kedge.sync.difference import NOTHING, Difference, Stamp
from kedge.sync.digest import Entry
from kedge.sync.door import Door, ParentOptions
from kedge.sync.events import ParentEvent
from kedge.sync.keys import Chance, RandomBytes
from kedge.sync.links import Links
from kedge.sync.reception import EVENTS_MAX, Reception
from kedge.sync.record import Outgoing
from kedge.sync.session import Address, Input, State
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Header, Kind


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
        options = options or ParentOptions()
        self._nodes: dict[str, Node] = {}
        self._links = Links(random_bytes)
        self._door = Door(self._links, options, random_bytes, chance)
        self._reception = Reception(self._links, self._door, options)
        self._events = self._reception.events
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
            self._reception.begin_epoch(known, epoch, node_key, None)

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
        if known.outgoing.is_relayed:
            return  # of a later owner than this one
        gone = {name: None for name in known.outgoing.entries if name not in entries}
        changed = known.outgoing.write({**entries, **gone}) or known.outgoing.declare()
        self._said(known, changed)

    def change_configured(self, node: str, changes: Mapping[str, bytes | None]) -> None:
        """Set some names of what the node should be, None for unknown; the others stay.

        Costs no more than the changes, however large the record is. What holds of ``set_configured``
        after a restart holds here: begin with all of it.
        """
        known = self._node(node)
        if not known.outgoing.is_relayed:
            self._said(known, known.outgoing.write(changes))

    def relay_configured(self, node: str, written: Difference | None) -> None:
        """What another end wrote for the node, whole: it is passed on as it came, unless the node or this
        parent has a later one. None: it is not passed on any more."""
        known = self._node(node)
        changed = (
            known.outgoing.relay(written) if written is not None else known.outgoing.withdraw()
        )
        self._said(known, changed)

    def written_at(self, node: str) -> Stamp | None:
        """Which configured record of the node this parent itself wrote; None: none."""
        known = self._nodes.get(node)
        if known is None or known.outgoing.is_relayed or not known.outgoing.version:
            return None
        return known.outgoing.stamp

    def written(self, node: str) -> Difference:
        """That record, whole, for another parent's ``relay_configured``."""
        return self._node(node).outgoing.difference(0)

    def configured_at(self, node: str) -> Stamp | None:
        """Which configured record the node holds, whoever wrote it; None where it has not said so here."""
        known = self._nodes.get(node)
        link = self._links.get(known.current) if known is not None else None
        return link.exchange.peer if link is not None else None

    def _said(self, known: Node, changed: bool) -> None:
        link = self._links.get(known.current) if changed else None
        if link is not None:
            self._links.touch(link)
            self._reception.check_fits(link, self._now)

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
            self._reception.read(header, datagram, address, now)
        elif header.kind is Kind.HELLO:
            self._read_hello(header, datagram, address, now)

    def receive(self, batch: Iterable[tuple[bytes, Address]], now: float) -> None:
        """Take in many datagrams at once: as ``receive_datagram``, in a fraction of its time where a
        heartbeat says nothing new."""
        links = self._links
        links.pulses.take(
            batch, now, links.loose, self.receive_datagram, self._reception.read_opened
        )

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """Everything to send now."""
        self._now = now
        for link in self._links.take_ready(now):
            at = self._reception.run_timers(link, now)
            if link.session.state is State.LIVE:
                self._links.write(link, now)
                due_at = link.exchange.due_at(now)
                at = at if due_at is None else min(at, due_at)
            if link.session.state is not State.CLOSED:
                self._links.wake(link, at)
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

    def _read_hello(self, header: Header, datagram: bytes, address: Address, now: float) -> None:
        hello = self._door.read(datagram)
        if hello is None:
            return
        node = self._nodes.get(hello.node)
        refused = self._door.knock(node, hello, header, datagram, address, now)
        if refused is not None:
            self._events.append(refused)
