"""A child's heartbeats while nothing changes: the same words each time, and the same answer.

A node's processor is its jobs'. What a heartbeat costs there is mostly what was last in its caches ten
seconds ago, so the fewer steps, the better: no message is made or parsed, only sealed and compared. The
session's key, counter and authenticity are checked as ever; whatever else happens ends the calm.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag

from kedge.sync.session import Address, Session
from kedge.sync.wire import HEAD_BYTES, HEADER_BYTES


class Calm:
    """One session in which both ends hold all that there is, until a timer other than the heartbeat's."""

    __slots__ = ("_head", "_heard", "_said", "session", "until")

    def __init__(self, session: Session, said: bytes, heard: bytes, until: float) -> None:
        self.session = session
        self._said = said  # the heartbeat, unsealed
        self.until = until
        self._heard = heard  # its answer
        self._head = session.head

    def ask(self) -> tuple[bytes, Address]:
        """The heartbeat."""
        return self.session.seal(self._said), self.session.address

    def answered(self, datagram: bytes, now: float) -> bool:
        """Take in the same answer once more; False for anything else, which is then not taken in."""
        session = self.session
        window = session.window
        counter = int.from_bytes(datagram[HEAD_BYTES:HEADER_BYTES], "big")
        if datagram[:HEAD_BYTES] != self._head or counter != window.newest + 1:
            return False
        nonce = bytes(4) + datagram[HEAD_BYTES:HEADER_BYTES]
        try:
            plain = session.opener.decrypt(nonce, datagram[HEADER_BYTES:], datagram[:HEADER_BYTES])
        except (InvalidTag, ValueError):
            return False
        if plain != self._heard:
            return False
        window.mark(counter)
        session.heard_at = now
        return True
