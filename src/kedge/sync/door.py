"""The door of a parent: hellos are judged here, answered with a welcome, or turned away.

Strangers get short answers, few of them, and cost little: the order of the checks is the defence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kedge.sync import handshake, wire
from kedge.sync.admission import OFFERS_MAX, Node, Quiet, Rate, judge
from kedge.sync.events import Refused
from kedge.sync.exchange import Exchange
from kedge.sync.handshake import FEATURE_LARGE, FEATURES
from kedge.sync.keys import Chance, RandomBytes
from kedge.sync.link import Link
from kedge.sync.links import Links
from kedge.sync.session import Address, Input, Session, State
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import Epoch, Header, Kind


def _anybody(_node: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ParentOptions:
    """How a parent treats its children."""

    heartbeat_s: float = 10.0
    lost_after: float = 3.5  # heartbeats
    offer_s: float = 10.0  # how long a welcome waits for its confirmation
    overlap_s: float = 10.0  # how long the session before is still read
    handshakes_per_s: float = 2000.0
    handshakes_burst: float = 10000.0
    refused_every_s: float = 10.0  # per node and reason, for the event
    advice_every_s: float = 1.0  # per address, for what is sent to strangers
    features: int = FEATURES  # of the protocol, that are offered
    large: Callable[[str], bool] = _anybody  # who may have records as large as a sub-master's

    @property
    def lost_after_s(self) -> float:
        return self.heartbeat_s * self.lost_after


class Door:
    """Lets children in: adds an offered link for each hello that is worth one."""

    def __init__(
        self, links: Links, options: ParentOptions, random_bytes: RandomBytes, chance: Chance
    ) -> None:
        self._links = links
        self._options = options
        self._random_bytes = random_bytes
        self._chance = chance
        self._handshakes = Rate(options.handshakes_per_s, options.handshakes_burst)
        self._refused = Quiet(options.refused_every_s)
        self._strangers = Quiet(options.refused_every_s)
        self._advice = Quiet(options.advice_every_s)

    def read(self, datagram: bytes) -> pb.Hello | None:
        """The hello in a datagram, well-formed and long enough that no answer is longer."""
        if len(datagram) < wire.HELLO_MIN_BYTES:
            return None
        return wire.parse_hello(datagram[wire.HEADER_BYTES : -wire.MAC_BYTES])

    def knock(
        self,
        node: Node | None,
        hello: pb.Hello,
        header: Header,
        datagram: bytes,
        address: Address,
        now: float,
    ) -> Refused | None:
        """Answer a hello; the refusal is for the caller, when it was not said lately."""
        verdict = judge(node, hello, datagram, now)
        if node is None or verdict.secret is None:
            if verdict.advice is not None and self._advice.may(address, now):
                advice = handshake.refusal(hello, header.key_id, verdict.advice)
                self._links.loose.append((advice, address))
            quiet = self._strangers if node is None else self._refused
            if quiet.may((hello.node, verdict.reason), now):
                return Refused(address, hello.node, verdict.reason)
            return None
        offers = [link for link in self._links.of(node) if link.session.state is State.OFFERED]
        for link in offers:
            if link.nonce == hello.nonce:  # the welcome was lost, or the hello came twice
                link.session.address = address
                self._links.loose.append((link.welcome, address))
                return None
        if hello.nonce in node.seen or not self._handshakes.take(now):
            return None
        node.seen.append(hello.nonce)
        if len(offers) >= OFFERS_MAX:
            self._links.close(offers[0], Input.REVOKED)
        self._offer(node, hello, header, datagram, verdict.secret, address, now)
        return None

    def _features(self, node: str) -> int:
        features = self._options.features
        return features if self._options.large(node) else features & ~FEATURE_LARGE

    def unknown_key(self, header: Header, datagram: bytes, address: Address, now: float) -> None:
        """Tell the sender that its session is not known here: it may want a new one."""
        if len(datagram) > wire.HEADER_BYTES and self._advice.may(address, now):
            notice = wire.pack_header(Kind.UNKNOWN_KEY, header.key_id)
            self._links.loose.append((notice, address))

    def _offer(
        self,
        node: Node,
        hello: pb.Hello,
        header: Header,
        datagram: bytes,
        secret: bytes,
        address: Address,
        now: float,
    ) -> None:
        answer = handshake.welcome(
            hello,
            datagram,
            secret,
            child_key_id=header.key_id,
            own_key_id=self._links.new_key_id(),
            heartbeat_s=self._options.heartbeat_s,
            lost_after_s=self._options.lost_after_s,
            random_bytes=self._random_bytes,
            features=self._features(node.name),
        )
        if answer is None:
            return
        welcome, agreed = answer
        session = Session.from_agreed(agreed, is_parent=True, address=address, now=now)
        epoch = Epoch(hello.epoch.term, hello.epoch.counter)
        exchange = Exchange(
            node.name, epoch, node.outgoing, node.incoming,
            is_parent=True, chance=self._chance, features=agreed.features,
        )  # fmt: skip
        is_join = hello.secret == pb.SECRET_TOKEN
        link = Link(session, exchange, node, agreed, welcome, hello.nonce, is_join, hello.renewal)
        self._links.add(link)
        self._links.loose.append((welcome, address))
