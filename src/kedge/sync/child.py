"""The child's end: an agent that joins with its boot token, reports up and is configured from above.

Sans-IO. The shell around it (the agent's selectors loop) does this and nothing else:

- one UDP socket; every datagram that arrives: ``receive_datagram(bytes, address, now)``;
- after that, after ``set_discovered`` and whenever ``next_timeout()`` has come: take all
  ``next_event()`` until None, then send all of ``datagrams_to_send(now)``;
- on ``SessionUp`` write ``export()`` to a file of mode 0600 *before* sending: it holds the key that
  replaces the token. ``Child.restore`` continues from it in the process after (switch_root, a
  crash); a stale file is safe, since versions go on from what the parent holds;
- addresses are what the socket takes; ``now`` is any monotonic clock in seconds; ``chance`` is a
  seeded ``random.Random``; ``random_bytes`` is ``os.urandom``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.approach import ChildOptions as ChildOptions
from kedge.sync.approach import Course, Purpose
from kedge.sync.beat import Beat
from kedge.sync.calm import Calm
from kedge.sync.events import ChildEvent, Configured, ParentLost, Refused, SessionUp
from kedge.sync.exchange import Exchange
from kedge.sync.handshake import Agreed
from kedge.sync.keys import Chance, RandomBytes
from kedge.sync.news import is_heartbeat
from kedge.sync.record import Incoming, Outgoing
from kedge.sync.saved import pack, unpack
from kedge.sync.session import Address, Effect, Input, Session
from kedge.sync.sessions import Sessions
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Header, Kind

EVENTS_MAX = 1024  # unread events; beyond that datagrams are dropped, and come again


class Child:
    """A node's end of the sync with one parent at a time out of a list, the preferred one first."""

    def __init__(
        self,
        node: str,
        epoch: Epoch,
        parents: Sequence[Address],
        *,
        random_bytes: RandomBytes,
        chance: Chance,
        token: bytes | None = None,
        options: ChildOptions | None = None,
    ) -> None:
        """``token``: 32 bytes, one-time; None only for ``restore``."""
        if not parents:
            raise KedgeError("sync.no_parent", "a child needs at least one parent", where=node)
        if token is not None and len(token) != wire.SECRET_BYTES:
            raise KedgeError("sync.bad_token", "a boot token has 32 bytes", where=node)
        self.node = node
        self.epoch = epoch
        self.parents = tuple(parents)
        self._options = options or ChildOptions()
        self._chance = chance
        self._outgoing = Outgoing(epoch)
        self._incoming = Incoming()
        self._course = Course(
            node, epoch, self.parents, self._options,
            random_bytes=random_bytes, chance=chance, token=token,
        )  # fmt: skip
        self._sessions = Sessions()
        self._beat = Beat(self._options.ask_first_s, chance)
        self._calm: Calm | None = None
        self._asked: bytes | None = None  # the last frame, if it was a heartbeat and nothing else
        self._events: deque[ChildEvent] = deque()
        self._now = 0.0

    # ---- what the caller wants

    def set_discovered(self, name: str, value: bytes | None) -> None:
        """Report a value, None for unknown; it travels with the next datagrams."""
        self.discover({name: value})

    def discover(self, changes: Mapping[str, bytes | None]) -> None:
        """Report several values at once: the parent sees all of them or none."""
        if self._outgoing.write(changes):
            self._calm = self._asked = None

    def set_parents(self, parents: Sequence[Address]) -> None:
        """Another list of parents, the preferred one first. A session goes on, though its parent be in
        it no more: then it is left as soon as one of the list answers."""
        if not parents or tuple(parents) == self.parents:
            return
        current = self.parent
        more = () if current is None or current in parents else (current,)
        self.parents = (*parents, *more)
        self._calm = None
        at = self.parents.index(current) if current is not None else 0
        self._course.listed_anew(self.parents, at)

    @property
    def discovered(self) -> dict[str, bytes]:
        """What this child reports."""
        return {n: e.value for n, e in self._outgoing.entries.items() if e.value is not None}

    @property
    def configured(self) -> dict[str, bytes]:
        """The configured record as it is held now; it stays when the parent is lost."""
        return self._incoming.values()

    @property
    def parent(self) -> Address | None:
        """The parent of the live session, if there is one."""
        return self._sessions.live[0].address if self._sessions.live else None

    @property
    def in_step(self) -> bool:
        """Whether the parent is known to hold everything that was reported."""
        return self._sessions.live is not None and self._sessions.live[1].in_step

    def export(self, *, records: bool = True) -> bytes:
        """All that a successor needs, keys included: write it with mode 0600, never log it.

        Without the ``records`` it is small: the successor reports anew and is configured anew.
        """
        both = (self._outgoing, self._incoming) if records else None
        return pack(self.node, self.epoch, (self._course.token, self._course.node_key), both)

    @classmethod
    def restore(
        cls,
        saved: bytes,
        parents: Sequence[Address],
        *,
        random_bytes: RandomBytes,
        chance: Chance,
        options: ChildOptions | None = None,
    ) -> Child:
        """Go on where the process that wrote ``saved`` was: same epoch, no new token."""
        state = unpack(saved)
        child = cls(
            state.node, state.epoch, parents, options=options,
            random_bytes=random_bytes, chance=chance, token=state.token,
        )  # fmt: skip
        child._course.node_key = state.node_key
        if state.discovered is not None:
            child._outgoing.restore(state.discovered)
        if state.configured is not None:
            child._incoming.restore(state.configured)
        return child

    def close(self) -> None:
        """Say good-bye with the next datagrams: this agent ends, the node goes on."""
        self._calm = None
        self._sessions.say_bye(pb.Bye.WHY_CLOSING)

    # ---- sans-IO

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """Take in a datagram from anybody. Never raises for what is in it."""
        self._now = now
        if self._calm is not None:
            if self._calm.answered(datagram, now):
                self._beat.answered(now)
                return
            self._calm = None
        header = wire.parse_header(datagram)
        if header is None or len(self._events) >= EVENTS_MAX:
            return
        if header.kind is Kind.SEALED:
            self._read_sealed(header, datagram, now)
        elif header.kind is Kind.WELCOME:
            agreed = self._course.welcomed(header, datagram)
            if agreed is not None:
                self._go_live(agreed, address, now)
        elif header.kind is Kind.REFUSAL:
            refusal = wire.parse_refusal(datagram[wire.HEADER_BYTES :])
            reason = self._course.refused(header, refusal) if refusal is not None else None
            if reason is not None:
                self._events.append(Refused(address, self.node, reason))
        elif header.kind is Kind.UNKNOWN_KEY:
            live = self._sessions.live
            if live is not None and header.key_id == live[0].peer_key_id:
                self._course.doubt_session(now)

    def receive(self, batch: Iterable[tuple[bytes, Address]], now: float) -> None:
        """Take in many datagrams."""
        for datagram, address in batch:
            self.receive_datagram(datagram, address, now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """Everything to send now."""
        self._now = now
        calm, beat = self._calm, self._beat
        if calm is not None:
            worn = calm.session.is_worn(self._options.renew_counter)
            if now < calm.until and not worn and not (beat.unanswered and now >= beat.at):
                if now < beat.at:
                    return []
                beat.asked(now)
                return [calm.ask()]
            self._calm = None
        self._run_timers(now)
        out, self._sessions.farewell = self._sessions.farewell, []
        hello = self._course.hello_to_send(now)
        if hello is not None:
            out.append(hello)
        if self._sessions.live is not None:
            session, exchange = self._sessions.live
            frames = exchange.write(now)
            for frame in frames:
                plain = frame.SerializeToString()
                out.append((session.seal(plain), session.address))
                self._asked = plain if len(frames) == 1 and is_heartbeat(frame) else None
        return out

    def next_timeout(self) -> float | None:
        """When ``datagrams_to_send`` wants to be called again, on the caller's clock."""
        if self._calm is not None:
            return min(self._beat.at, self._calm.until)
        times = [*self._sessions.old_until(), self._course.due_at(self._now)]
        if self._sessions.live is not None:
            session, exchange = self._sessions.live
            times += [self._beat.at, session.heard_at + self._beat.lost_after_s]
            due_at = exchange.due_at(self._now)
            if due_at is not None:
                times.append(due_at)
        return min(times)

    def wants_turn(self, now: float) -> bool:
        """Whether there is an event to take, or something to send."""
        at = self.next_timeout()
        return bool(self._events) or (at is not None and at <= now)

    def next_event(self) -> ChildEvent | None:
        """The oldest event that was not taken yet."""
        return self._events.popleft() if self._events else None

    # ---- within

    def _run_timers(self, now: float) -> None:
        self._sessions.expire(now)
        if self._sessions.live is not None:
            session, exchange = self._sessions.live
            if now >= session.heard_at + self._beat.lost_after_s:  # as next_timeout reckons
                self._end(session, Input.SILENCE, now)
            elif now >= self._beat.at:
                exchange.ask()
                self._beat.asked(now)
        worn = self._sessions.is_worn(self._options.renew_counter)
        self._course.run_timers(now, self.parent, worn=worn)

    def _end(self, session: Session, what: Input, now: float) -> None:
        if session.feed(what) in (Effect.LOSE, Effect.LEAVE):
            self._events.append(ParentLost(session.address, now - session.heard_at))
        self._sessions.end(session)
        self._course.lost(session.address)

    def _go_live(self, agreed: Agreed, address: Address, now: float) -> None:
        target, purpose = self._course.arrived(agreed)
        if self.parent not in (None, target):
            self._sessions.say_bye(pb.Bye.WHY_MOVED)
        session = Session.from_agreed(agreed, is_parent=False, address=target, now=now)
        exchange = Exchange(
            self.node, self.epoch, self._outgoing, self._incoming,
            is_parent=False, chance=self._chance, features=agreed.features,
        )  # fmt: skip
        self._sessions.begin(session, exchange, now + self._options.overlap_s)
        self._beat.begin(now, agreed.heartbeat_s, agreed.lost_after_s)
        if purpose is not Purpose.RENEW:
            self._events.append(SessionUp(target, self.epoch))

    def _read_sealed(self, header: Header, datagram: bytes, now: float) -> None:
        known = self._sessions.get(header.key_id)
        if known is None:
            return
        session, exchange = known
        opened = session.open(header, datagram)
        frame = wire.parse_frame(opened[0]) if opened is not None else None
        if opened is None or frame is None or session.feed(Input.FRAME) is None:
            return
        session.heard_at = now
        current = known is self._sessions.live
        if current:
            self._course.confirmed()
            if exchange.is_answered or frame.held:
                self._beat.answered(now)
        news = exchange.read(frame, counter=header.counter, current=current, now=now)
        if news.applied:
            self._events.append(Configured(self._incoming.values(), news.changes, full=news.full))
        if news.bye is not None and current:
            self._end(session, Input.BYE, now)
        elif current and self._asked is not None and news.only_answers and exchange.is_quiet:
            self._be_calm(session, opened[0], self._asked, now)

    def _be_calm(self, session: Session, heard: bytes, said: bytes, now: float) -> None:
        """Let the next heartbeats take the short way, for as long as there is nothing else to do."""
        until = min([self._course.due_at(now), *self._sessions.old_until()])
        if until > now and not self._sessions.farewell:
            self._calm = Calm(session, said, heard, until)
