"""The handshake: a hello, a welcome, and the first sealed datagram that confirms both.

The pre-shared secret is the boot token (a join) or the node key that came out of the join. A hello
is authenticated before anything costly is done for it, and is longer than its answer.
"""

from __future__ import annotations

from typing import NamedTuple

from kedge.sync import keys, wire
from kedge.sync.keys import RandomBytes, SessionKeys
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import HEADER_BYTES, MAC_BYTES, Epoch, Kind

_SUITES = {1: pb.SUITE_AES_256_GCM, 2: pb.SUITE_CHACHA20_POLY1305}
FEATURE_TREE_HASH = 1  # the hash of a status is the tree hash
FEATURE_LARGE = 2  # records may be as large as a sub-master's
FEATURES = FEATURE_TREE_HASH | FEATURE_LARGE


class Agreed(NamedTuple):
    """What a handshake led to."""

    keys: SessionKeys
    suite: int
    version: int
    own_key_id: int
    peer_key_id: int
    heartbeat_s: float
    lost_after_s: float
    features: int = 0  # that both ends have


class Approach:
    """A child's hello that waits for its welcome."""

    __slots__ = ("_features", "_private", "_secret", "datagram", "is_join", "key_id", "nonce")

    def __init__(
        self,
        node: str,
        epoch: Epoch,
        secret: bytes,
        *,
        is_join: bool,
        renewal: bool,
        random_bytes: RandomBytes,
        features: int = FEATURES,
    ) -> None:
        self.is_join = is_join
        self.key_id = int.from_bytes(random_bytes(4), "big")
        self.nonce = random_bytes(wire.NONCE_BYTES)
        self._secret = secret
        self._features = features
        self._private, public = keys.new_key_pair(random_bytes)
        hello = pb.Hello(
            node=node,
            secret=pb.SECRET_TOKEN if is_join else pb.SECRET_NODE_KEY,
            nonce=self.nonce,
            public_key=public,
            version_min=wire.VERSION_MIN,
            version_max=wire.VERSION_MAX,
            suites=[pb.SUITE_AES_256_GCM, pb.SUITE_CHACHA20_POLY1305],
            features=features,
            renewal=renewal,
        )
        wire.fill_epoch(hello.epoch, epoch)
        spare = wire.HELLO_MIN_BYTES - HEADER_BYTES - MAC_BYTES - hello.ByteSize()
        hello.padding = bytes(max(0, spare))
        said = wire.pack_header(Kind.HELLO, self.key_id, version=wire.HANDSHAKE_VERSION)
        said += hello.SerializeToString()
        self.datagram = said + keys.hello_code(secret, said)

    def welcomed(self, datagram: bytes) -> Agreed | None:
        """What a welcome agrees on; None unless it answers this hello with the same secret."""
        said, code = datagram[:-MAC_BYTES], datagram[-MAC_BYTES:]
        welcome = wire.parse_welcome(said[HEADER_BYTES:])
        if welcome is None or welcome.suite not in keys.SUITES:
            return None
        if not wire.VERSION_MIN <= welcome.version <= wire.VERSION_MAX:
            return None
        session = keys.derive(self._secret, self._private, welcome.public_key, self.datagram, said)
        if session is None or not keys.same_code(code, keys.welcome_code(session, said)):
            return None
        heartbeat_s = min(3600.0, max(0.05, welcome.heartbeat_ms / 1000))
        return Agreed(
            session,
            welcome.suite,
            welcome.version,
            self.key_id,
            welcome.key_id,
            heartbeat_s,
            min(4 * 3600.0, max(1.5 * heartbeat_s, welcome.lost_after_ms / 1000)),
            welcome.features & self._features,
        )


def is_authentic(datagram: bytes, secret: bytes) -> bool:
    """Whether a hello was made by a holder of the secret."""
    said, code = datagram[:-MAC_BYTES], datagram[-MAC_BYTES:]
    return keys.same_code(code, keys.hello_code(secret, said))


def common_version(hello: pb.Hello) -> int | None:
    """The highest version that both ends speak."""
    version = min(wire.VERSION_MAX, hello.version_max)
    return version if version >= max(wire.VERSION_MIN, hello.version_min) else None


def common_suite(hello: pb.Hello) -> int | None:
    """The suite that the parent likes best among the child's."""
    return next((suite for suite in keys.SUITES if suite in hello.suites), None)


def welcome(
    hello: pb.Hello,
    datagram: bytes,
    secret: bytes,
    *,
    child_key_id: int,
    own_key_id: int,
    heartbeat_s: float,
    lost_after_s: float,
    random_bytes: RandomBytes,
    features: int = FEATURES,
) -> tuple[bytes, Agreed] | None:
    """The answer to an authentic hello, and what it agrees on; None for a bad public key."""
    version, suite = common_version(hello), common_suite(hello)
    if version is None or suite is None:
        return None
    features &= hello.features
    private, public = keys.new_key_pair(random_bytes)
    body = pb.Welcome(
        nonce=random_bytes(wire.NONCE_BYTES),
        public_key=public,
        key_id=own_key_id,
        version=version,
        features=features,
        heartbeat_ms=round(heartbeat_s * 1000),
        lost_after_ms=round(lost_after_s * 1000),
    )
    body.suite = _SUITES[suite]
    said = wire.pack_header(Kind.WELCOME, child_key_id, version=wire.HANDSHAKE_VERSION)
    said += body.SerializeToString()
    session = keys.derive(secret, private, hello.public_key, datagram, said)
    if session is None:
        return None
    agreed = Agreed(
        session, suite, version, own_key_id, child_key_id, heartbeat_s, lost_after_s, features
    )
    return said + keys.welcome_code(session, said), agreed


def refusal(hello: pb.Hello, child_key_id: int, reason: pb.Reason) -> bytes:
    """Advice to a child that it will not be let in."""
    body = pb.Refusal(
        nonce_prefix=hello.nonce[:8],
        reason=reason,
        version_min=wire.VERSION_MIN,
        version_max=wire.VERSION_MAX,
    )
    header = wire.pack_header(Kind.REFUSAL, child_key_id, version=wire.HANDSHAKE_VERSION)
    return header + body.SerializeToString()
