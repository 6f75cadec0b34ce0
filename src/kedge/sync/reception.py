"""What a parent does with the sealed datagrams of its children, and with time: sessions go live, are
replaced, fall silent and end; what they bring is told as events.
"""

from __future__ import annotations

from collections import deque

from kedge.sync import wire
from kedge.sync.admission import Node, Quiet
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
from kedge.sync.link import NEVER_AT, Link
from kedge.sync.links import Links
from kedge.sync.news import News
from kedge.sync.pulse import Pulse
from kedge.sync.record import Incoming
from kedge.sync.report import reports_of
from kedge.sync.session import Address, Effect, Input, State
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Header

EVENTS_MAX = 65536  # unread events; beyond that datagrams are dropped, and come again


class Reception:
    """Reads frames into the nodes' records and tells what they change."""

    def __init__(self, links: Links, door: Door, options: ParentOptions) -> None:
        self.events: deque[ParentEvent] = deque()
        self._links = links
        self._door = door
        self._options = options
        self._lost_after_s = options.lost_after_s
        self._complained = Quiet(options.refused_every_s)

    def read(self, header: Header, datagram: bytes, address: Address, now: float) -> None:
        """Take in a sealed datagram."""
        link = self._links.get(header.key_id)
        if link is None:
            self._door.unknown_key(header, datagram, address, now)
            return
        self._links.pulses.drop(link)
        opened = link.session.open(header, datagram)
        if opened is not None:
            self._read(link, header.counter, opened[0], address, now, newest=opened[1])

    def read_opened(self, pulse: Pulse, plain: bytes, address: Address, now: float) -> bytes | None:
        """Take in the inside of an authentic datagram whose counter is just the next one. Returns what it
        is answered at once: the pulse goes on after a report that says nothing else."""
        answer = self._read_report(pulse, plain)
        if answer is None:
            link, counter = pulse.link, pulse.awaited
            self._links.pulses.drop(link)
            link.session.window.mark(counter)
            self._read(link, counter, plain, address, now, newest=True)
        return answer

    def _read_report(self, pulse: Pulse, plain: bytes) -> bytes | None:
        reports = pulse.reports
        if reports is None:
            link = pulse.link
            reports = pulse.reports = reports_of(link.node.name, link.exchange)
        if reports is None or len(self.events) >= EVENTS_MAX:
            return None
        said = reports.read(plain)
        if said is None:
            return None
        pulse.heard = None  # a heartbeat would say another version
        event, answer = said
        self.events.append(event)
        return answer

    def _read(
        self, link: Link, counter: int, plain: bytes, address: Address, now: float, *, newest: bool
    ) -> None:
        session, node = link.session, link.node
        frame = wire.parse_frame(plain)
        if frame is None:
            return
        effect = session.feed(Input.FRAME)
        if newest:
            session.heard_at = now
            session.address = address
        if effect is Effect.GO_LIVE:
            self._go_live(link, now)
        elif effect is Effect.RETURN:
            self.events.append(Resumed(node.name, link.exchange.epoch, address))
        current = node.current == session.key_id
        self._links.touch(link)
        if not current:
            other = self._links.get(node.current)
            if other is not None:  # this one may change what that one has to say
                self._links.touch(other)
        news = link.exchange.read(frame, counter=counter, current=current, now=now)
        link.asked = plain if news.only_asks and newest else None
        self._tell(link, news, address, now)
        if news.bye is not None and session.feed(Input.BYE) is not None:
            if current:
                moved = news.bye == pb.Bye.WHY_MOVED
                self.events.append(Left(node.name, link.exchange.epoch, moved))
            self._links.close(link, Input.BYE)

    def _tell(self, link: Link, news: News, address: Address, now: float) -> None:
        node, epoch = link.node, link.exchange.epoch
        if news.applied:
            changes = news.changes
            if news.full:
                changes = {name: entry.value for name, entry in node.incoming.entries.items()}
            self.events.append(Discovered(node.name, epoch, changes, full=news.full))
        if news.acked is not None:
            self.events.append(ConfiguredAcked(node.name, news.acked))
        if news.outranked:
            self._complain(node.name, "holds a configuration of a later owner", address, now)

    def _complain(self, node: str, reason: str, address: Address, now: float) -> None:
        if self._complained.may((node, reason), now):
            self.events.append(Refused(address, node, reason))

    def _go_live(self, link: Link, now: float) -> None:
        node, address = link.node, link.session.address
        before = self._links.get(node.current)
        epoch = link.exchange.epoch
        if link.is_join:
            self.begin_epoch(node, epoch, link.agreed.keys.node, link)
            link.exchange.incoming = node.incoming
            self.events.append(Joined(node.name, epoch, link.agreed.keys.node, address))
        else:
            was_live = before is not None and before.session.state is State.LIVE
            if before is not None:
                before.session.feed(Input.REPLACED)
                before.session.until = now + self._options.overlap_s
                self._links.touch(before)
            if not (link.renewal and was_live):
                self.events.append(Resumed(node.name, epoch, address))
        node.current = link.session.key_id
        self.check_fits(link, now)

    def begin_epoch(self, node: Node, epoch: Epoch, key: bytes, keep: Link | None) -> None:
        """The node has a new boot: nothing of the earlier ones counts any more."""
        for link in self._links.of(node):
            if link is not keep:
                self._links.close(link, Input.REVOKED)
        node.epoch, node.key = epoch, key
        node.incoming = Incoming()
        if node.admission is not None and node.admission.epoch <= epoch:
            node.admission = None

    def check_fits(self, link: Link, now: float) -> None:
        """A child of an older release takes no record of a sub-master: say so, it will not come."""
        if not link.exchange.fits:
            reason = "its release takes no configuration as large as this"
            self._complain(link.node.name, reason, link.session.address, now)

    def run_timers(self, link: Link, now: float) -> float:
        """Let time change the session; returns when it will do so next."""
        session, options = link.session, self._options
        if session.state is State.OFFERED:
            until = session.created_at + options.offer_s
            if now >= until:
                self._links.close(link, Input.SILENCE)
        elif session.state is State.LIVE:
            until = session.heard_at + self._lost_after_s
            if now >= until and session.feed(Input.SILENCE) is Effect.LOSE:
                silent_s = now - session.heard_at
                self._links.pulses.drop(link)
                self.events.append(Lost(link.node.name, link.exchange.epoch, silent_s))
                until = NEVER_AT
        elif session.state is State.OLD:
            until = session.until
            if now >= until:
                self._links.close(link, Input.OVERLAP_OVER)
        else:
            until = NEVER_AT
        return until
