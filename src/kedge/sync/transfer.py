"""Transfers: an update cut into parts that fit a datagram, resent until they have all arrived.

One transfer is under way per direction and session; what changes meanwhile goes with the next one.
The window opens by one with each acknowledged part and halves at each time-out.
"""

from __future__ import annotations

from itertools import takewhile

from kedge.sync import wire
from kedge.sync.keys import Chance
from kedge.sync.v1 import sync_pb2 as pb

RETRY_FIRST_S = 0.3
RETRY_MAX_S = 10.0
WINDOW_FIRST = 16
WINDOW_LEAST = 4
WINDOW_MOST = 64
BEYOND_MAX_BYTES = 32  # of the bitmap in an acknowledgement: 256 parts, more than any window


def back_off(failures: int, chance: Chance, first_s: float, most_s: float) -> float:
    """How long to wait after this many failures in a row: doubling, a quarter either way."""
    return min(most_s, first_s * 2.0 ** min(failures, 20)) * (0.75 + 0.5 * chance.random())


class Sending:
    """The sender's half of one transfer."""

    __slots__ = (
        "_chance", "_failures", "_flying", "_missing", "_window", "blob", "count", "number",
        "retry_at", "version",
    )  # fmt: skip

    def __init__(self, number: int, blob: bytes, version: int, chance: Chance) -> None:
        self.number = number
        self.blob = blob
        self.version = version  # that the peer holds of the record once all has arrived
        self.count = max(1, -(-len(blob) // wire.FRAGMENT_BYTES))
        self.retry_at: float | None = None  # None: nothing has been sent yet
        self._missing = dict.fromkeys(range(self.count))  # not acknowledged, in order
        self._flying: set[int] = set()  # sent since the last time-out and not acknowledged
        self._window = WINDOW_FIRST
        self._failures = 0
        self._chance = chance

    @property
    def done(self) -> bool:
        return not self._missing

    def due_at(self, now: float) -> float:
        """When there is something to send: now, or at the time-out. Not to be asked when done."""
        if self.retry_at is None or len(self._flying) < min(self._window, len(self._missing)):
            return now
        return self.retry_at

    def parts(self, now: float) -> list[pb.Fragment]:
        """The parts to send now, as many as the window has room for."""
        if self.done:
            return []
        if self.retry_at is not None and now >= self.retry_at:
            self._flying.clear()
            self._window = max(WINDOW_LEAST, self._window // 2)
            self._failures += 1
        room = self._window - len(self._flying)
        chosen: list[int] = []
        for index in self._missing:
            if len(chosen) >= room:
                break
            if index not in self._flying:
                chosen.append(index)
        if chosen:
            self._flying.update(chosen)
            self._restart_clock(now)
        return [self._part(index) for index in chosen]

    def acknowledged(self, ack: pb.FragmentAck, now: float) -> None:
        """Strike out what has arrived."""
        if ack.transfer != self.number or ack.next > self.count:
            return
        arrived = list(takewhile(lambda index: index < ack.next, self._missing))
        bits = int.from_bytes(ack.beyond[:BEYOND_MAX_BYTES], "little")
        first = ack.next + 1
        arrived += [first + i for i in range(bits.bit_length()) if bits >> i & 1]
        before = len(self._missing)
        for index in arrived:
            self._missing.pop(index, None)
            self._flying.discard(index)
        struck = before - len(self._missing)
        if struck:
            self._window = min(WINDOW_MOST, self._window + struck)
            self._failures = 0
            self._restart_clock(now)

    def _restart_clock(self, now: float) -> None:
        self.retry_at = now + back_off(self._failures, self._chance, RETRY_FIRST_S, RETRY_MAX_S)

    def _part(self, index: int) -> pb.Fragment:
        start = index * wire.FRAGMENT_BYTES
        return pb.Fragment(
            transfer=self.number,
            index=index,
            count=self.count,
            part=self.blob[start : start + wire.FRAGMENT_BYTES],
        )


class Receiving:
    """The receiver's half of all transfers of one session, one at a time."""

    __slots__ = ("_count", "_most", "_next", "_parts", "number")

    def __init__(self, fragments_max: int = wire.LARGE.fragments) -> None:
        self.number = 0
        self._most = fragments_max
        self._count = 0
        self._next = 0  # all parts below have arrived
        self._parts: dict[int, bytes] = {}

    def accept(self, fragment: pb.Fragment) -> bytes | None:
        """Take in a part; returns the whole when it was the last one missing, once."""
        transfer, index, count = fragment.transfer, fragment.index, fragment.count
        if not index < count <= self._most or transfer < max(1, self.number):
            return None
        if transfer > self.number:
            self.number, self._count = transfer, count
            self._parts, self._next = {}, 0
        if count != self._count or self._next == count:
            return None
        if count == 1:
            self._next = 1
            return fragment.part
        self._parts.setdefault(index, fragment.part)
        while self._next in self._parts:
            self._next += 1
        if self._next < count:
            return None
        blob = b"".join(self._parts[index] for index in range(count))
        self._parts = {}
        return blob

    def took_whole(self, transfer: int) -> None:
        """A later transfer came in one part; what had come of the one before is no longer wanted."""
        self.number, self._count, self._next = transfer, 1, 1
        self._parts = {}

    def acknowledge(self, ack: pb.FragmentAck) -> None:
        """Write what has arrived of the newest transfer."""
        ack.transfer, ack.next = self.number, self._next
        if len(self._parts) > self._next:  # some have arrived out of turn
            bits = 0
            for place in range(BEYOND_MAX_BYTES * 8):
                if self._next + 1 + place in self._parts:
                    bits |= 1 << place
            ack.beyond = bits.to_bytes(-(-bits.bit_length() // 8), "little")
