"""A child's sessions: the live one with its parent, and those before it while they are still read."""

from __future__ import annotations

from kedge.sync.exchange import Exchange
from kedge.sync.session import Address, Input, Session, State
from kedge.sync.v1 import sync_pb2 as pb


class Sessions:
    """By this end's key ids, each with its share in the two records."""

    __slots__ = ("_by_key", "farewell", "live")

    def __init__(self) -> None:
        self.live: tuple[Session, Exchange] | None = None
        self.farewell: list[tuple[bytes, Address]] = []  # to be sent
        self._by_key: dict[int, tuple[Session, Exchange]] = {}

    def get(self, key_id: int) -> tuple[Session, Exchange] | None:
        """The session that a datagram is for."""
        return self._by_key.get(key_id)

    def is_worn(self, counter: int) -> bool:
        """Whether so many datagrams went under the live session's keys that others are wanted."""
        return self.live is not None and self.live[0].is_worn(counter)

    def begin(self, session: Session, exchange: Exchange, old_until: float) -> None:
        """A session takes the place of the live one, which is read for a while yet."""
        if self.live is not None:
            before, _ = self.live
            before.feed(Input.REPLACED)
            before.until = old_until
        self.live = self._by_key[session.key_id] = (session, exchange)

    def end(self, session: Session) -> None:
        """The live session is over."""
        self.live = None
        self._by_key.pop(session.key_id, None)

    def say_bye(self, why: pb.Bye.Why) -> None:
        """Tell the parent of the live session that this end leaves it."""
        if self.live is not None:
            session, _ = self.live
            plain = pb.Frame(bye=pb.Bye(why=why)).SerializeToString()
            self.farewell.append((session.seal(plain), session.address))

    def expire(self, now: float) -> None:
        """Forget what was read for long enough."""
        for session, _ in list(self._by_key.values()):
            if session.state is State.OLD and now >= session.until:
                session.feed(Input.OVERLAP_OVER)
                del self._by_key[session.key_id]

    def old_until(self) -> list[float]:
        """When the sessions before the live one are read no more."""
        return [session.until for session, _ in self._by_key.values() if session.until]
