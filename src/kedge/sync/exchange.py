"""The exchange of the two records of a session: what one end writes, what it takes in.

Pure bookkeeping on frames; the session around it seals and opens. The other end's ``Held`` decides
what is sent: it names epoch and version, counts only from the newest frame of the newest session,
and a doubt in it (the hashes differ) or another epoch means everything is sent again.
"""

from __future__ import annotations

from kedge.sync import difference, wire
from kedge.sync.difference import NOTHING, Stamp
from kedge.sync.digest import TREE_FROM_ENTRIES
from kedge.sync.handshake import FEATURE_LARGE, FEATURE_TREE_HASH
from kedge.sync.keys import Chance
from kedge.sync.news import News
from kedge.sync.record import Incoming, Outcome, Outgoing
from kedge.sync.transfer import RETRY_FIRST_S, RETRY_MAX_S, Receiving, Sending, back_off
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch

GATHER_S = 0.05
"""The least time between the starts of two transfers of a large record: what changes meanwhile, in a
whole subtree, travels together. A change after a quiet time goes at once."""


class Exchange:
    """One session's share in the two records."""

    __slots__ = (
        "_ask", "_chance", "_failures", "_full", "_held_counter", "_limits", "_names", "_not_before",
        "_number", "_peer_doubts", "_say_ack", "_say_held", "_say_status", "_sending",
        "_views_in", "_views_out", "epoch", "incoming", "is_parent", "outgoing", "peer", "receiving", "tree",
    )  # fmt: skip

    def __init__(
        self,
        node: str,
        epoch: Epoch,
        outgoing: Outgoing,
        incoming: Incoming,
        *,
        is_parent: bool,
        chance: Chance,
        features: int = 0,
    ) -> None:
        self._names = "", node  # of whom this session's parts speak
        self.epoch = epoch  # the child's boot: the default of all epochs in this session
        self.outgoing = outgoing
        self.incoming = incoming
        self.is_parent = is_parent
        views = (pb.VIEW_DISCOVERED, pb.VIEW_CONFIGURED)
        views_in, views_out = views if is_parent else reversed(views)
        self._views_in = pb.VIEW_UNSPECIFIED, views_in
        self._views_out = pb.VIEW_UNSPECIFIED, views_out
        self._chance = chance
        self.tree = bool(features & FEATURE_TREE_HASH)
        self._limits = wire.LARGE if features & FEATURE_LARGE else wire.SMALL
        self.peer: Stamp | None = None  # what it holds of ours; None until it has said so
        self._peer_doubts = False
        self._held_counter = -1  # of the frame that said so
        self._full = False  # the peer's version came from a predecessor: no difference builds on it
        self._sending: Sending | None = None
        self.receiving = Receiving(self._limits.fragments)
        self._number = 0
        self._not_before = 0.0
        self._failures = 0
        self._ask = self._say_status = self._say_held = self._say_ack = False

    # ---- taking in

    def read(self, frame: pb.Frame, *, counter: int, current: bool, now: float) -> News:
        """Take in an authentic frame with its datagram's counter.

        Acknowledgements count only in the ``current`` session, and what the peer holds only when no
        later frame said it already; records merge by their versions in any case.
        """
        news = News()
        has_fragment, has_bye = frame.HasField("fragment"), frame.HasField("bye")
        if has_fragment:
            self._read_fragment(frame.fragment, news)
        has_status = False
        for status in frame.status:
            has_status = True
            self._read_status(status)
        if not current:
            news.bye = frame.bye.why if has_bye else None
            return news
        for held in frame.held:
            if counter > self._held_counter and self._is_ours(held, self._views_out):
                self._held_counter = counter
                self._read_held(held, news)
        has_ack = frame.HasField("fragment_ack")
        if has_ack:
            self._read_ack(frame.fragment_ack, now)
        if frame.ask:
            self._say_status = self._say_held = True
        if has_bye:
            news.bye = frame.bye.why
        elif not has_fragment and not has_ack:
            news.only_asks = frame.ask
            news.only_answers = has_status and not frame.ask
        return news

    def _read_fragment(self, fragment: pb.Fragment, news: News) -> None:
        self._say_ack = True
        blob = self.receiving.accept(fragment)
        if blob is None:
            return
        self._say_held = True
        update = wire.parse_update(blob)
        for record in update.records if update is not None else ():
            if not self._is_ours(record, self._views_in):
                continue
            said = difference.read(record, self.epoch, self._limits)
            if said is None or (self.is_parent and said.stamp.epoch != self.epoch):
                continue
            outcome, changes = self.incoming.apply(said)
            if outcome is Outcome.APPLIED:
                news.apply(changes, full=said.base == 0)

    def _read_status(self, status: pb.Status) -> None:
        incoming, digest = self.incoming, status.hash
        if status.version != incoming.stamp.version or len(digest) != wire.HASH_BYTES:
            return
        if not self._is_ours(status, self._views_in):
            return
        stamp = self._stamp(status, incoming.stamp)
        if stamp is not None and incoming.compare(stamp, digest, tree=self.tree):
            self._say_held = True  # the doubt, at once

    def _read_held(self, held: pb.Held, news: News) -> None:
        out, before = self.outgoing, self.peer
        stamp = self._stamp(held, out.stamp)
        if stamp is None:
            return
        doubts = held.doubtful
        if self._sending is None and stamp is before is out.stamp and doubts == self._peer_doubts:
            return  # as it was
        self.peer, self._peer_doubts = stamp, doubts
        self._overtake()
        news.outranked = stamp.epoch > out.epoch and out.version > 0 and not out.is_relayed
        if self._sending is not None and self._reached(self._sending.version):
            self._sending = None
            self._failures = 0
            self._full = False
        if stamp == out.stamp and stamp != before and not doubts and out.version:
            news.acked = stamp.version

    def _overtake(self) -> None:
        """Go on after the version that a predecessor of this process left at the peer; but a
        writer that has said nothing yet takes nothing back."""
        peer, out = self.peer, self.outgoing
        if peer is None or out.is_relayed:
            return  # whoever wrote what is relayed has gone on itself
        if peer.epoch == out.epoch and peer.version > out.version > 0:
            out.outrun(peer.version)
            self._full = True

    def _read_ack(self, ack: pb.FragmentAck, now: float) -> None:
        sending = self._sending
        if sending is None:
            return
        sending.acknowledged(ack, now)
        if sending.done:  # it arrived, but was not applied: look at what the peer holds, try again
            self._sending = None
            self._failures += 1
            self._not_before = now + back_off(
                self._failures, self._chance, RETRY_FIRST_S, RETRY_MAX_S
            )

    def _reached(self, version: int) -> bool:
        peer = self.peer
        return (
            peer is not None
            and not self._peer_doubts
            and peer.epoch == self.outgoing.epoch
            and peer.version >= version
        )

    def _is_ours(self, part: pb.Status | pb.Held | pb.Record, views: tuple[int, int]) -> bool:
        """Whether a part speaks of this session's own node and the record that goes this way."""
        return part.node in self._names and part.view in views

    def _stamp(self, part: pb.Status | pb.Held, expected: Stamp) -> Stamp | None:
        """The stamp in a part, mostly the ``expected`` one; None when it is beyond belief."""
        version = part.version
        if version > wire.NUMBER_MAX:
            return None
        if version == 0:
            return NOTHING
        epoch = self.epoch
        if part.HasField("epoch"):
            named = wire.parse_epoch(part.epoch, expected.epoch)
            if named is None:
                return None
            epoch = named
        stamp = Stamp(epoch, version)
        return expected if stamp == expected else stamp

    # ---- putting out

    def ask(self) -> None:
        """Let the next frame be a heartbeat."""
        self._ask = self._say_status = self._say_held = True

    def due_at(self, now: float) -> float | None:
        """When ``write`` has something to say, None when only news can change that."""
        if self._ask or self._say_status or self._say_held or self._say_ack:
            return now
        if self._sending is not None:
            return self._sending.due_at(now)
        return max(now, self._not_before) if self._behind() else None

    def write(self, now: float) -> list[pb.Frame]:
        """The frames to send now."""
        if self._sending is None and self._behind() and now >= self._not_before:
            self._overtake()
            self._start(now)
        parts = self._sending.parts(now) if self._sending is not None else []
        frames: list[pb.Frame] = []
        if self._ask or self._say_status or self._say_held or self._say_ack or parts:
            frames.append(self._said())
        for place, part in enumerate(parts):
            if place:
                frames.append(pb.Frame())
            frames[-1].fragment.CopyFrom(part)
            if part.index == part.count - 1 and not frames[-1].status:
                self._fill_status(frames[-1])
        return frames

    def _said(self) -> pb.Frame:
        frame = pb.Frame()
        if self._ask:
            frame.ask = True
        if self._say_status:
            self._fill_status(frame)
        held = frame.held.add()
        self.fill_stamp(held, self.incoming.stamp)
        if self.incoming.doubtful:
            held.doubtful = True
        if self._say_ack:
            self.receiving.acknowledge(frame.fragment_ack)
        self._ask = self._say_status = self._say_held = self._say_ack = False
        return frame

    def _fill_status(self, frame: pb.Frame) -> None:
        out = self.outgoing
        status = frame.status.add()
        status.hash = out.tree_hash if self.tree else out.hash
        self.fill_stamp(status, out.stamp)

    def fill_stamp(self, part: pb.Status | pb.Held, stamp: Stamp) -> None:
        """Say which state of a record is meant: the session's epoch goes without saying."""
        part.version = stamp.version
        if stamp.version and stamp.epoch != self.epoch:
            wire.fill_epoch(part.epoch, stamp.epoch)

    def _behind(self) -> bool:
        """Whether the peer is known not to hold our record as it is now."""
        peer, ours = self.peer, self.outgoing.stamp
        if peer is None or not ours.version or (peer == ours and not self._peer_doubts):
            return False
        is_later = peer > ours if self.outgoing.is_relayed else peer.epoch > ours.epoch
        return not is_later and self.fits

    def _start(self, now: float) -> None:
        out, peer = self.outgoing, self.peer
        base = 0
        if peer is not None and peer.epoch == out.epoch and not self._peer_doubts:
            base = 0 if self._full else peer.version
        update = pb.Update(records=[out.difference(base).message()])
        self._number += 1
        if len(out.entries) >= TREE_FROM_ENTRIES:
            self._not_before = now + GATHER_S
        self._sending = Sending(self._number, update.SerializeToString(), out.version, self._chance)

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to say until there is news, nor will there be."""
        says = self._ask or self._say_status or self._say_held or self._say_ack
        return not says and self._sending is None and not self._behind()

    @property
    def fits(self) -> bool:
        """Whether the peer takes a record as large as ours."""
        return self.outgoing.fits(self._limits)

    @property
    def is_answered(self) -> bool:
        """Whether the peer has said in this session what it holds."""
        return self.peer is not None

    @property
    def in_step(self) -> bool:
        """Whether the peer is known to hold our record as it is now."""
        return self.peer == self.outgoing.stamp and not self._peer_doubts
