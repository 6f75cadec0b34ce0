"""A session between two processes: its states, its keys, its counters.

Every session has its own keys, derived from both ends' nonces, and its own key id at each end. A
restart of either end, a move to another parent and the renewal of keys all are new sessions; the
one before is still read for an overlap, never written.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag

from kedge.sync.handshake import Agreed
from kedge.sync.keys import SUITES, ReplayWindow, SessionKeys
from kedge.sync.wire import HEAD_BYTES, HEADER_BYTES, Header, Kind, pack_header

Address = Any  # whatever the caller's sockets use: it is compared and handed back, never read


COUNTERS = 1 << 32  # a key seals no more datagrams than this; a child renews it long before


class State(Enum):
    """Where a session is in its life."""

    __hash__ = object.__hash__  # each is one object; Enum's own is a call of Python

    OFFERED = "offered"  # parent: the welcome was sent, the child has not shown that it has it
    LIVE = "live"
    SILENT = "silent"  # parent: nothing heard for too long; sends nothing until it hears again
    OLD = "old"  # another session has taken its place; read until the overlap ends
    CLOSED = "closed"


class Input(Enum):
    """What can happen to a session."""

    __hash__ = object.__hash__

    FRAME = "frame"  # an authentic, fresh sealed datagram
    SILENCE = "silence"  # nothing heard for lost_after_s (an offer: for offer_s)
    REPLACED = "replaced"  # a newer session of the same node went live
    OVERLAP_OVER = "overlap over"
    BYE = "bye"  # the other end said that it ends the session
    REVOKED = "revoked"  # the caller, or a newer epoch of the node, ended it


class Effect(Enum):
    """What the owner of the session does about it."""

    NONE = "none"
    GO_LIVE = "go live"  # spend the token, replace the other sessions, tell the caller
    READ = "read"  # take in what the frame says
    RETURN = "return"  # tell the caller that the node is back, then read
    LOSE = "lose"  # tell the caller
    LEAVE = "leave"  # tell the caller that the other end left on purpose
    DROP = "drop"  # forget keys and transfers


class Transition(NamedTuple):
    """One row of the table."""

    state: State
    input: Input
    parent: State  # the next state at the parent's end
    child: State  # and at the child's
    effect: Effect


# The life of a session, whole: what is not listed changes nothing. docs/reference/sync.md shows it.
TRANSITIONS = (
    Transition(State.OFFERED, Input.FRAME, State.LIVE, State.LIVE, Effect.GO_LIVE),
    Transition(State.OFFERED, Input.SILENCE, State.CLOSED, State.CLOSED, Effect.DROP),
    Transition(State.OFFERED, Input.REVOKED, State.CLOSED, State.CLOSED, Effect.DROP),
    Transition(State.LIVE, Input.FRAME, State.LIVE, State.LIVE, Effect.READ),
    Transition(State.LIVE, Input.SILENCE, State.SILENT, State.CLOSED, Effect.LOSE),
    Transition(State.LIVE, Input.REPLACED, State.OLD, State.OLD, Effect.NONE),
    Transition(State.LIVE, Input.BYE, State.CLOSED, State.CLOSED, Effect.LEAVE),
    Transition(State.LIVE, Input.REVOKED, State.CLOSED, State.CLOSED, Effect.DROP),
    Transition(State.SILENT, Input.FRAME, State.LIVE, State.LIVE, Effect.RETURN),
    Transition(State.SILENT, Input.REPLACED, State.OLD, State.OLD, Effect.NONE),
    Transition(State.SILENT, Input.BYE, State.CLOSED, State.CLOSED, Effect.LEAVE),
    Transition(State.SILENT, Input.REVOKED, State.CLOSED, State.CLOSED, Effect.DROP),
    Transition(State.OLD, Input.FRAME, State.OLD, State.OLD, Effect.READ),
    Transition(State.OLD, Input.OVERLAP_OVER, State.CLOSED, State.CLOSED, Effect.DROP),
    Transition(State.OLD, Input.BYE, State.CLOSED, State.CLOSED, Effect.DROP),
    Transition(State.OLD, Input.REVOKED, State.CLOSED, State.CLOSED, Effect.DROP),
)
_BY_INPUT = {(row.state, row.input): row for row in TRANSITIONS}


class Session:
    """One end of a session: seals what goes out, opens what comes in, knows its state."""

    __slots__ = (
        "address", "counter", "created_at", "heard_at", "is_parent", "key_id", "opener", "peer_head",
        "peer_key_id", "sealer", "state", "until", "version", "window",
    )  # fmt: skip

    def __init__(
        self,
        keys: SessionKeys,
        *,
        suite: int,
        version: int,
        key_ids: tuple[int, int],
        is_parent: bool,
        address: Address,
        now: float,
    ) -> None:
        """``key_ids``: this end's (in what it receives) and the peer's (in what it sends)."""
        up, down = SUITES[suite](keys.up), SUITES[suite](keys.down)
        self.sealer, self.opener = (down, up) if is_parent else (up, down)
        self.window = ReplayWindow()
        self.counter = 0  # of the next datagram that is sent
        self.version = version
        self.key_id, self.peer_key_id = key_ids
        self.peer_head = pack_header(Kind.SEALED, self.peer_key_id, 0, version)[:HEAD_BYTES]
        self.is_parent = is_parent
        self.address = address
        self.state = State.OFFERED if is_parent else State.LIVE
        self.created_at = self.heard_at = now
        self.until = 0.0  # when an old session's overlap ends

    @classmethod
    def from_agreed(
        cls, agreed: Agreed, *, is_parent: bool, address: Address, now: float
    ) -> Session:
        """The session that a handshake led to."""
        return cls(
            agreed.keys,
            suite=agreed.suite,
            version=agreed.version,
            key_ids=(agreed.own_key_id, agreed.peer_key_id),
            is_parent=is_parent,
            address=address,
            now=now,
        )

    def feed(self, what: Input) -> Effect | None:
        """Change the state as the table says; None when this input means nothing in this state."""
        row = _BY_INPUT.get((self.state, what))
        if row is None:
            return None
        self.state = row.parent if self.is_parent else row.child
        return row.effect

    def is_worn(self, counter: int) -> bool:
        """Whether so many datagrams went under these keys that others are wanted."""
        return self.counter >= counter or self.window.newest >= counter

    @property
    def head(self) -> bytes:
        """What all datagrams that come in begin with, but for their flags."""
        return pack_header(Kind.SEALED, self.key_id, 0, self.version)[:HEAD_BYTES]

    def seal(self, plain: bytes) -> bytes:
        """A datagram with the next counter."""
        nonce = self.counter.to_bytes(12, "big")
        self.counter += 1
        header = self.peer_head + nonce[4:]
        return header + self.sealer.encrypt(nonce, plain, header)

    def open(self, header: Header, datagram: bytes) -> tuple[bytes, bool] | None:
        """The inside of an authentic, fresh datagram, and whether it is the newest so far."""
        if header.version != self.version or header.counter >= COUNTERS:
            return None
        if not self.window.fresh(header.counter):
            return None
        nonce = header.counter.to_bytes(12, "big")
        try:
            plain = self.opener.decrypt(nonce, datagram[HEADER_BYTES:], datagram[:HEADER_BYTES])
        except (InvalidTag, ValueError):
            return None
        return plain, self.window.mark(header.counter)
