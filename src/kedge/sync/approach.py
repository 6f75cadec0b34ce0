"""Which parent a child says hello to, with which secret, and when.

A course has at most one hello under way. Without a session it goes through the parents in order of
preference, again and again, ever slower; with one it renews the key, returns to a better parent,
or asks a parent that does not know the session any more.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from kedge.sync.handshake import FEATURES, Agreed, Approach
from kedge.sync.keys import Chance, RandomBytes
from kedge.sync.session import Address
from kedge.sync.transfer import back_off
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Header

DOUBT_EVERY_S = 5.0  # a forged notice of an unknown key costs at most one hello in this time


class Purpose(Enum):
    """Why a hello is under way."""

    SEEK = "seek"  # there is no session
    RENEW = "renew"  # the session's key is old
    RETURN = "return"  # to a parent further up the list
    DOUBT = "doubt"  # the parent says that it does not know the session


class ChildOptions(NamedTuple):
    """How a child goes about it. The heartbeat comes from the parent."""

    hello_first_s: float = 0.5  # between two hellos to one parent, doubling
    hello_tries: int = 4  # to one parent before the next has its turn
    seek_most_s: float = 15.0  # between two rounds through all parents
    renew_s: float = 3600.0  # a key's age
    renew_counter: int = 1 << 24  # datagrams under a key, either way
    prefer_s: float = 60.0  # how often a parent further up the list is tried
    overlap_s: float = 10.0  # how long the session before is still read
    ask_first_s: float = 0.5  # before an unanswered heartbeat is repeated, doubling
    features: int = FEATURES  # of the protocol, that are offered


class Course:
    """The child's hellos, one at a time."""

    def __init__(
        self,
        node: str,
        epoch: Epoch,
        parents: tuple[Address, ...],
        options: ChildOptions,
        *,
        random_bytes: RandomBytes,
        chance: Chance,
        token: bytes | None,
    ) -> None:
        self.token = token  # kept until the parent has confirmed the join
        self.node_key: bytes | None = None
        self._node, self._epoch, self._parents = node, epoch, parents
        self._options = options
        self._random_bytes, self._chance = random_bytes, chance
        self._approach: Approach | None = None
        self._purpose = Purpose.SEEK
        self._index = 0  # the session's parent, or the next one to seek
        self._tries = 0
        self._hello_at = 0.0
        self._rounds = 0  # through all parents without success
        self._use_token = False  # both secrets may be held: they take turns, the key first
        self._target = 0  # the parent that the hello under way goes to
        self._preferred = 0
        self._renew_at = self._prefer_at = self._doubt_at = 0.0
        self._seeking = True
        self._worn = False
        self._fresh = False  # a session began: its times are set at the next run

    def due_at(self, now: float) -> float:
        """When ``run_timers`` or ``hello_to_send`` has something to do."""
        if self._fresh:
            return now
        if self._approach is not None or self._seeking:
            return self._hello_at
        if self._index > 0:
            return min(self._renew_at, self._prefer_at)
        return self._renew_at

    def run_timers(self, now: float, parent: Address | None, *, worn: bool = False) -> None:
        """Start, repeat or give up a hello. ``parent``: of the live session; ``worn``: its keys have
        sealed enough."""
        options, chance = self._options, self._chance
        if self._fresh:
            self._fresh = False
            self._renew_at = now + options.renew_s * (0.75 + 0.25 * chance.random())
            self._prefer_at = now + options.prefer_s * (0.75 + 0.5 * chance.random())
            self._worn = False
        if worn and not self._worn:
            self._worn, self._renew_at = True, now
        if self._approach is not None:
            if now >= self._hello_at and self._tries >= options.hello_tries:
                self._give_up(now)
            else:
                return
        if self._seeking:
            if now >= self._hello_at:
                self._begin(Purpose.SEEK, self._index, now)
        elif parent is not None and now >= self._renew_at:
            self._begin(Purpose.RENEW, self._index, now)
        elif self._index > 0 and now >= self._prefer_at:
            self._preferred = self._preferred % self._index
            self._begin(Purpose.RETURN, self._preferred, now)

    def hello_to_send(self, now: float) -> tuple[bytes, Address] | None:
        """The hello, when it is time for it."""
        if self._approach is None or now < self._hello_at:
            return None
        options = self._options
        self._hello_at = now + back_off(
            self._tries, self._chance, options.hello_first_s, options.seek_most_s
        )
        self._tries += 1
        return self._approach.datagram, self._parents[self._target]

    def welcomed(self, header: Header, datagram: bytes) -> Agreed | None:
        """What a welcome agrees on, if it answers the hello under way."""
        if self._approach is None or header.key_id != self._approach.key_id:
            return None
        return self._approach.welcomed(datagram)

    def arrived(self, agreed: Agreed) -> tuple[Address, Purpose]:
        """The hello under way has led to a session: whose it is, and why it was wanted."""
        assert self._approach is not None
        if self._approach.is_join:
            self.node_key = agreed.keys.node
        self._approach = None
        self._index = self._target
        self._use_token = False
        self._seeking = False
        self._rounds = 0
        self._fresh = True
        return self._parents[self._index], self._purpose

    def confirmed(self) -> None:
        """The parent has spoken in the session: it has stored the key, the token is no more."""
        if self.node_key is not None:
            self.token = None

    def lost(self, address: Address) -> None:
        """The session with this parent is over: seek, beginning with the next in the list."""
        parents = self._parents
        self._approach = None
        self._seeking = True
        self._index = (self._index + 1) % len(parents)
        self._hello_at = 0.0
        self._use_token = False

    def listed_anew(self, parents: tuple[Address, ...], index: int) -> None:
        """The list of parents is another one, and the session's parent stands in it at ``index``."""
        self._parents = parents
        self._approach = None
        self._index, self._preferred = index, 0
        self._fresh = self._fresh or not self._seeking
        if self._seeking:
            self._hello_at = 0.0

    def refused(self, header: Header, refusal: pb.Refusal) -> str | None:
        """The reason, when this is about the hello under way; the next secret or parent has its
        turn sooner, which is all that a forged refusal could bring about."""
        approach = self._approach
        if approach is None or header.key_id != approach.key_id:
            return None
        if refusal.nonce_prefix != approach.nonce[:8] or not self._tries:
            return None
        self._tries = self._options.hello_tries
        return reason_text(refusal.reason)

    def doubt_session(self, now: float) -> None:
        """The parent seems to have restarted: say hello, keep the session until it is answered."""
        if self._approach is None and now >= self._doubt_at and not self._seeking:
            self._doubt_at = now + DOUBT_EVERY_S
            self._begin(Purpose.DOUBT, self._index, now)

    def _begin(self, purpose: Purpose, target: int, now: float) -> None:
        key = self.node_key
        join = key is None or (self.token is not None and self._use_token)
        secret = self.token if join else key
        assert secret is not None
        self._use_token = not self._use_token
        self._approach = Approach(
            self._node,
            self._epoch,
            secret,
            is_join=join,
            renewal=purpose is Purpose.RENEW,
            random_bytes=self._random_bytes,
            features=self._options.features,
        )
        self._purpose, self._target = purpose, target
        self._tries = 0
        self._hello_at = now

    def _give_up(self, now: float) -> None:
        self._approach = None
        options, chance = self._options, self._chance
        if self._purpose is Purpose.SEEK:
            both = self.token is not None and self.node_key is not None
            if not (both and self._use_token):  # the token's turn, at the same parent
                self._index = (self._index + 1) % len(self._parents)
                if self._index == 0:
                    self._rounds += 1
                    self._hello_at = now + back_off(
                        self._rounds, chance, options.hello_first_s, options.seek_most_s
                    )
        elif self._purpose is Purpose.RENEW:
            self._renew_at = now + options.prefer_s * (0.75 + 0.5 * chance.random())
        elif self._purpose is Purpose.RETURN:
            self._preferred += 1
            self._prefer_at = now + options.prefer_s * (0.75 + 0.5 * chance.random())


def reason_text(reason: pb.Reason) -> str:
    """A refusal's reason in words."""
    return {
        pb.REASON_VERSION: "no protocol version in common",
        pb.REASON_OLD_EPOCH: "the node has been booted again since",
        pb.REASON_TOKEN_SPENT: "the boot token has been used",
        pb.REASON_TOKEN_EXPIRED: "the boot token has expired",
        pb.REASON_NOT_ADMITTED: "the node is not admitted",
    }.get(reason, "refused")
