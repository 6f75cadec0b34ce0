"""The exchange of the two records of a session: what one end writes, what it takes in.

Pure bookkeeping on frames; the session around it seals and opens. The other end's ``Held`` decides
what is sent: it names epoch and version, counts only from the newest frame of the newest session,
and a doubt in it (the hashes differ) or another epoch means everything is sent again.
"""

from __future__ import annotations

from kedge.sync import wire
from kedge.sync.digest import TREE_FROM_ENTRIES
from kedge.sync.handshake import FEATURE_LARGE, FEATURE_TREE_HASH
from kedge.sync.keys import Chance
from kedge.sync.record import NOTHING, Incoming, Outcome, Outgoing, Stamp, acceptable
from kedge.sync.transfer import RETRY_FIRST_S, RETRY_MAX_S, Receiving, Sending, back_off
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch

GATHER_S = 0.05
"""The least time between the starts of two transfers of a large record: what changes meanwhile, in a
whole subtree, travels together. A change after a quiet time goes at once."""


class News:
    """What a frame brought."""

    __slots__ = (
        "acked",
        "applied",
        "bye",
        "changes",
        "full",
        "only_answers",
        "only_asks",
        "outranked",
    )

    def __init__(self) -> None:
        self.changes: dict[str, bytes | None] = {}
        self.applied = False
        self.full = False
        self.acked: int | None = None  # the other end has come to hold our record at this version
        self.outranked = False  # it holds our record from a later epoch than ours
        self.bye: pb.Bye.Why | None = None
        self.only_asks = False  # a heartbeat and nothing else
        self.only_answers = False  # what is said to a heartbeat, and nothing else


def is_plain(frame: pb.Frame) -> bool:
    """Whether a frame has no part of a transfer in it, and no farewell."""
    return not (
        frame.HasField("fragment") or frame.HasField("fragment_ack") or frame.HasField("bye")
    )


def is_heartbeat(frame: pb.Frame) -> bool:
    """Whether a frame asks, and does nothing else."""
    return frame.ask and is_plain(frame)


class Exchange:
    """One session's share in the two records."""

    __slots__ = (
        "_ask", "_chance", "_failures", "_full", "_held_counter", "_limits", "_not_before", "_number",
        "_peer", "_peer_doubts", "_receiving", "_say_ack", "_say_held", "_say_status", "_sending",
        "_tree", "epoch", "incoming", "is_parent", "node", "outgoing",
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
        self.node = node
        self.epoch = epoch  # the child's boot: the default of all epochs in this session
        self.outgoing = outgoing
        self.incoming = incoming
        self.is_parent = is_parent
        self._chance = chance
        self._tree = bool(features & FEATURE_TREE_HASH)
        self._limits = wire.LARGE if features & FEATURE_LARGE else wire.SMALL
        self._peer: Stamp | None = None  # what it holds; None until it has said so
        self._peer_doubts = False
        self._held_counter = -1  # of the frame that said so
        self._full = False  # the peer's version came from a predecessor: no difference builds on it
        self._sending: Sending | None = None
        self._receiving = Receiving(self._limits.fragments)
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
        if frame.HasField("fragment"):
            self._read_fragment(frame.fragment, news)
        for status in frame.status:
            if self._ours(status, incoming=True) and len(status.hash) == wire.HASH_BYTES:
                stamp = self._stamp(status)
                if stamp is not None and self.incoming.compare(stamp, status.hash, tree=self._tree):
                    self._say_held = True  # the doubt, at once
        if current:
            for held in frame.held:
                if counter > self._held_counter and self._ours(held, incoming=False):
                    self._held_counter = counter
                    self._read_held(held, news)
            if frame.HasField("fragment_ack"):
                self._read_ack(frame.fragment_ack, now)
            if frame.ask:
                self._say_status = self._say_held = True
        if frame.HasField("bye"):
            news.bye = frame.bye.why
        elif current:
            news.only_asks = is_heartbeat(frame)
            news.only_answers = not frame.ask and is_plain(frame) and len(frame.status) > 0
        return news

    def _read_fragment(self, fragment: pb.Fragment, news: News) -> None:
        self._say_ack = True
        blob = self._receiving.accept(fragment)
        if blob is None:
            return
        self._say_held = True
        update = wire.parse_update(blob)
        for record in update.records if update is not None else ():
            if not self._ours(record, incoming=True) or not acceptable(record, self._limits):
                continue
            stamp = self._stamp(record)
            if stamp is None or (self.is_parent and stamp.epoch != self.epoch):
                continue
            outcome, changes = self.incoming.apply(record, stamp.epoch)
            if outcome is Outcome.APPLIED:
                news.applied = True
                news.full = news.full or record.base == 0
                news.changes.update(changes)

    def _read_held(self, held: pb.Held, news: News) -> None:
        stamp = self._stamp(held)
        if stamp is None:
            return
        out = self.outgoing
        before = self._peer
        self._peer, self._peer_doubts = stamp, held.doubtful
        self._overtake()
        news.outranked = stamp.epoch > out.epoch
        if self._sending is not None and self._reached(self._sending.version):
            self._sending = None
            self._failures = 0
            self._full = False
        if stamp == out.stamp and stamp != before and not held.doubtful and out.version:
            news.acked = stamp.version

    def _overtake(self) -> None:
        """Go on after the version that a predecessor of this process left at the peer; but a
        writer that has said nothing yet takes nothing back."""
        peer, out = self._peer, self.outgoing
        if peer is not None and peer.epoch == out.epoch and peer.version > out.version > 0:
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
        peer = self._peer
        return (
            peer is not None
            and not self._peer_doubts
            and peer.epoch == self.outgoing.epoch
            and peer.version >= version
        )

    def _ours(self, part: pb.Status | pb.Held | pb.Record, *, incoming: bool) -> bool:
        """Whether a part speaks of this session's own node and the record that goes this way."""
        discovered = self.is_parent == incoming
        view = pb.VIEW_DISCOVERED if discovered else pb.VIEW_CONFIGURED
        return part.node in ("", self.node) and part.view in (pb.VIEW_UNSPECIFIED, view)

    def _stamp(self, part: pb.Status | pb.Held | pb.Record) -> Stamp | None:
        if part.version > wire.NUMBER_MAX:
            return None
        if part.version == 0:
            return NOTHING
        epoch = wire.parse_epoch(part.epoch) if part.HasField("epoch") else self.epoch
        return None if epoch is None else Stamp(epoch, part.version)

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
        held = frame.held.add(doubtful=self.incoming.doubtful)
        self._fill_stamp(held, self.incoming.stamp)
        if self._say_ack:
            frame.fragment_ack.CopyFrom(self._receiving.acknowledgement())
        self._ask = self._say_status = self._say_held = self._say_ack = False
        return frame

    def _fill_status(self, frame: pb.Frame) -> None:
        out = self.outgoing
        status = frame.status.add(hash=out.tree_hash if self._tree else out.hash)
        self._fill_stamp(status, out.stamp)

    def _fill_stamp(self, part: pb.Status | pb.Held, stamp: Stamp) -> None:
        part.version = stamp.version
        if stamp.version and stamp.epoch != self.epoch:
            wire.fill_epoch(part.epoch, stamp.epoch)

    def _behind(self) -> bool:
        """Whether the peer is known not to hold our record as it is now."""
        peer, out = self._peer, self.outgoing
        if peer is None or not out.version or peer.epoch > out.epoch:
            return False
        return (self._peer_doubts or peer != out.stamp) and self.fits

    def _start(self, now: float) -> None:
        out, peer = self.outgoing, self._peer
        base = 0
        if peer is not None and peer.epoch == out.epoch and not self._peer_doubts:
            base = 0 if self._full else peer.version
        update = pb.Update(records=[out.difference(base)])
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
        return self._peer is not None

    @property
    def in_step(self) -> bool:
        """Whether the peer is known to hold our record as it is now."""
        return self._peer == self.outgoing.stamp and not self._peer_doubts
