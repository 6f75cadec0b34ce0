"""Heartbeats that say what the last one said, answered with what was answered then.

Most of what a parent hears is this: a node asks, nothing has changed at either end. Once such a heartbeat
was read and answered in the ordinary way, with nothing left to say, the same words get the same answer
until something happens: only the seals differ. What is checked is the same, too: the session's key, its
counter (here: exactly the next one; after a gap all go the ordinary way again, so that no late one can
undo what was said since), its authenticity. Whoever reads or writes the session, or changes what would be
answered, must `drop` the pulse; the ordinary way does so first of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cryptography.exceptions import InvalidTag

from kedge.sync.link import Link
from kedge.sync.report import Reports
from kedge.sync.session import Address
from kedge.sync.wire import HEAD_BYTES, HEADER_BYTES

_PAD = bytes(4)  # before the counter in an AEAD's nonce

Slow = Callable[[bytes, Address, float], None]
Opened = Callable[["Pulse", bytes, Address, float], bytes | None]


class Pulse:
    """What one child says and what it is answered, sealed with the session's keys.

    While it lasts, what a heartbeat changes of the session is kept here: a parent of thousands waits
    longer for a place in memory that it has not seen lately than a step of code takes.
    """

    __slots__ = (
        "address", "answer", "awaited", "counter", "decrypt", "encrypt", "head", "heard", "heard_at",
        "link", "reports",
    )  # fmt: skip

    def __init__(self, link: Link, heard: bytes, answer: bytes) -> None:
        session = link.session
        self.link = link
        self.heard: bytes | None = heard
        self.reports: Reports | None = None  # made when the first one comes
        self.answer = answer
        self.decrypt = session.opener.decrypt
        self.encrypt = session.sealer.encrypt
        self.head = session.peer_head
        self.counter = session.counter
        self.awaited = session.window.newest + 1
        self.heard_at = session.heard_at
        self.address = session.address

    def settle(self) -> None:
        """Let the session know what it would, had all gone the ordinary way."""
        session = self.link.session
        session.counter = self.counter
        session.window.mark_all_before(self.awaited)
        session.heard_at = self.heard_at
        session.address = self.address
        if self.reports is not None:
            self.reports.settle()


class Pulses:
    """All pulses, by the first eight bytes of the datagrams that they answer."""

    def __init__(self) -> None:
        self._pulses: dict[bytes, Pulse] = {}

    def settle(self, link: Link) -> None:
        """Somebody looks at the link's session."""
        if link.pulse is not None:
            self._pulses[link.pulse].settle()

    def drop(self, link: Link) -> None:
        """The link has more to say, or something else."""
        if link.pulse is not None:
            self._pulses.pop(link.pulse).settle()
            link.pulse = None

    def keep(self, link: Link, heard: bytes, answer: bytes) -> None:
        """From now on ``heard`` is answered with ``answer``."""
        link.pulse = link.session.head
        self._pulses[link.pulse] = Pulse(link, heard, answer)

    def take(
        self,
        batch: Iterable[tuple[bytes, Address]],
        now: float,
        out: list[tuple[bytes, Address]],
        slow: Slow,
        opened: Opened,
    ) -> None:
        """Answer to ``out`` what can be answered here; all else goes to the caller's ordinary way, what
        had to be decrypted to see that, as ``opened``."""
        find = self._pulses.get
        for datagram, address in batch:
            pulse = find(datagram[:HEAD_BYTES])
            number = datagram[HEAD_BYTES:HEADER_BYTES]
            if pulse is None or int.from_bytes(number, "big") != pulse.awaited:
                slow(datagram, address, now)
                continue
            try:
                plain = pulse.decrypt(
                    _PAD + number, datagram[HEADER_BYTES:], datagram[:HEADER_BYTES]
                )
            except InvalidTag:
                continue
            answer = pulse.answer
            if plain != pulse.heard and (answer := opened(pulse, plain, address, now)) is None:
                continue
            pulse.awaited += 1
            pulse.heard_at = now
            pulse.address = address
            nonce = pulse.counter.to_bytes(12, "big")
            pulse.counter += 1
            head = pulse.head + nonce[4:]
            out.append((head + pulse.encrypt(nonce, answer, head), address))
