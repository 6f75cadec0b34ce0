"""Heartbeats that say what the last one said, answered with what was answered then.

Most of what a parent hears is this: a node asks, nothing has changed at either end. Once such a heartbeat
was read and answered in the ordinary way, with nothing left to say, the same words get the same answer
until something happens: only the seals differ. What is checked is the same, too: the session's key, its
counter (here: exactly the next one; after a gap all go the ordinary way again, so that no late one can
undo what was said since), its authenticity. Whoever changes what
would be answered must `drop` the pulse; the ordinary way does so first of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from kedge.sync.session import Address, State

if TYPE_CHECKING:
    from kedge.sync.links import Link

_PAD = bytes(4)  # before the counter in an AEAD's nonce

Slow = Callable[[bytes, Address, float], None]
Opened = Callable[["Link", int, bytes, Address, float], None]


class Pulse:
    """What one child says and what it is answered, sealed with the session's keys."""

    __slots__ = ("answer", "decrypt", "encrypt", "head", "heard", "link", "session")

    def __init__(self, link: Link, heard: bytes, answer: bytes) -> None:
        session = link.session
        self.link = link
        self.session = session
        self.heard = heard
        self.answer = answer
        self.decrypt = session.opener.decrypt
        self.encrypt = session.sealer.encrypt
        self.head = session.peer_head


class Pulses:
    """All pulses, by the first eight bytes of the datagrams that they answer."""

    def __init__(self) -> None:
        self._pulses: dict[bytes, Pulse] = {}

    def drop(self, link: Link) -> None:
        """The link has more to say, or something else."""
        if link.pulse is not None:
            self._pulses.pop(link.pulse, None)
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
        find, live = self._pulses.get, State.LIVE
        for datagram, address in batch:
            pulse = find(datagram[:8])
            if pulse is None:
                slow(datagram, address, now)
                continue
            session = pulse.session
            window, number = session.window, datagram[8:16]
            counter = int.from_bytes(number, "big")
            if counter != window.newest + 1 or session.state is not live:
                slow(datagram, address, now)
                continue
            try:
                plain = pulse.decrypt(_PAD + number, datagram[16:], datagram[:16])
            except InvalidTag:
                continue
            if plain != pulse.heard:
                opened(pulse.link, counter, plain, address, now)
                continue
            window.newest = counter
            window.run += 1
            session.heard_at = now
            session.address = address
            number = session.counter.to_bytes(8, "big")
            session.counter += 1
            head = pulse.head + number
            out.append((head + pulse.encrypt(_PAD + number, pulse.answer, head), address))
