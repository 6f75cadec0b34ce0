"""Who may come in: boot tokens, node keys, and what each hello is worth before it costs anything.

The checks go from cheap to dear: form, name, epoch, one HMAC; only an authentic hello that was not
seen before leads to the key agreement, and that at a bounded rate.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from kedge.sync import handshake
from kedge.sync.record import Incoming, Outgoing
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch

SEEN_HELLOS = 64  # per node: nonces of hellos that were answered
OFFERS_MAX = 4  # per node: welcomes that wait for their confirmation


@dataclass(slots=True)
class Admission:
    """A boot token: one node, one epoch, one use."""

    epoch: Epoch
    token: bytes = field(repr=False)
    valid_until: float  # on the parent's clock


@dataclass(slots=True)
class Node:
    """A child as its parent knows it."""

    name: str
    outgoing: Outgoing  # the configured record
    epoch: Epoch | None = None  # of the boot that joined last
    key: bytes | None = field(default=None, repr=False)
    admission: Admission | None = None
    incoming: Incoming = field(default_factory=Incoming)  # the discovered record
    current: int | None = None  # key id of the newest live (or silent) session
    sessions: set[int] = field(default_factory=set[int])  # key ids of all sessions and offers
    seen: deque[bytes] = field(default_factory=lambda: deque[bytes](maxlen=SEEN_HELLOS))


@dataclass(slots=True)
class Verdict:
    """What to do with a hello: let in with a secret, or turn away and perhaps say why."""

    secret: bytes | None = field(default=None, repr=False)
    reason: str = ""
    advice: pb.Reason | None = None  # to be told to the child


def judge(node: Node | None, hello: pb.Hello, datagram: bytes, now: float) -> Verdict:
    """Whether a hello is authentic and may come in."""
    if node is None:
        return Verdict(reason="unknown node")
    if handshake.common_version(hello) is None or handshake.common_suite(hello) is None:
        return Verdict(reason="no protocol version in common", advice=pb.REASON_VERSION)
    epoch = Epoch(hello.epoch.term, hello.epoch.counter)
    if node.epoch is not None and epoch < node.epoch:
        return Verdict(reason="old epoch", advice=pb.REASON_OLD_EPOCH)
    if hello.secret == pb.SECRET_TOKEN:
        return _judge_token(node, epoch, datagram, now)
    if hello.secret == pb.SECRET_NODE_KEY:
        if node.key is None or epoch != node.epoch:
            return Verdict(reason="no key for this epoch", advice=pb.REASON_NOT_ADMITTED)
        if not handshake.is_authentic(datagram, node.key):
            return Verdict(reason="wrong node key")
        return Verdict(secret=node.key)
    return Verdict(reason="no secret")


def _judge_token(node: Node, epoch: Epoch, datagram: bytes, now: float) -> Verdict:
    admission = node.admission
    if node.epoch is not None and epoch == node.epoch:
        return Verdict(reason="token already used", advice=pb.REASON_TOKEN_SPENT)
    if admission is None or admission.epoch != epoch:
        return Verdict(reason="not admitted", advice=pb.REASON_NOT_ADMITTED)
    if not handshake.is_authentic(datagram, admission.token):
        return Verdict(reason="wrong token")
    if now > admission.valid_until:
        return Verdict(reason="token expired", advice=pb.REASON_TOKEN_EXPIRED)
    return Verdict(secret=admission.token)


class Rate:
    """A bucket of tokens: so many a second, and a burst."""

    __slots__ = ("_burst", "_full_at", "_per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._full_at: float | None = None

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        full_at = now if self._full_at is None else max(now, self._full_at)
        if full_at - now > (self._burst - 0.5) / self._per_s:
            return False
        self._full_at = full_at + 1 / self._per_s
        return True


class Quiet:
    """Lets a key through once per interval: for refusals and notices; bounded in size."""

    __slots__ = ("_every_s", "_last", "_most")

    def __init__(self, every_s: float, most: int = 4096) -> None:
        self._every_s = every_s
        self._most = most
        self._last: OrderedDict[object, float] = OrderedDict()

    def may(self, key: object, now: float) -> bool:
        """Whether ``key`` was not let through within the interval."""
        last = self._last.get(key)
        if last is not None and now - last < self._every_s:
            return False
        if last is None and len(self._last) >= self._most:
            oldest, at = next(iter(self._last.items()))
            if now - at < self._every_s:
                return False  # a flood: say nothing rather than remember more
            del self._last[oldest]
        self._last[key] = now
        self._last.move_to_end(key)
        return True
