"""Keys: from a shared secret and two nonces to the keys of one session, and seals made with them.

X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869) with a pre-shared secret: the shape of Noise's NNpsk0.
Both ends prove that they hold the secret; the ephemeral keys keep what was said from a thief who
gets the secret later. docs/reference/sync.md gives every byte.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from kedge.sync.wire import MAC_BYTES, SECRET_BYTES

RandomBytes = Callable[[int], bytes]


class Chance(Protocol):
    """Where jitter comes from: ``random.Random`` or anything seeded that has its ``random()``."""

    def random(self) -> float: ...


class Cipher(Protocol):
    """An AEAD with its key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...


# Suites by their number in the wire contract, the parent's preference first.
SUITES: dict[int, Callable[[bytes], Cipher]] = {1: AESGCM, 2: ChaCha20Poly1305}


class SessionKeys(NamedTuple):
    """What both ends of a session derive."""

    up: bytes  # child to parent
    down: bytes  # parent to child
    welcome: bytes  # authenticates the welcome
    node: bytes  # of a join: the secret of all later sessions of this boot


def expand(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869), extract and expand."""
    pseudo_random = hmac.digest(salt, key, "sha256")
    out = block = b""
    counter = 1
    while len(out) < length:
        block = hmac.digest(pseudo_random, block + info + bytes([counter]), "sha256")
        out += block
        counter += 1
    return out[:length]


def hello_code(secret: bytes, header_and_body: bytes) -> bytes:
    """The 32 bytes that end a hello: only a holder of the secret can have made it."""
    key = expand(secret, b"", b"kedge sync 1 hello", SECRET_BYTES)
    return hmac.digest(key, header_and_body, "sha256")


def welcome_code(keys: SessionKeys, header_and_body: bytes) -> bytes:
    """The 32 bytes that end a welcome."""
    return hmac.digest(keys.welcome, header_and_body, "sha256")


def same_code(left: bytes, right: bytes) -> bool:
    """Compare two codes in constant time."""
    return len(left) == MAC_BYTES and hmac.compare_digest(left, right)


def new_key_pair(random_bytes: RandomBytes) -> tuple[X25519PrivateKey, bytes]:
    """A key pair for one handshake: the private key and the public key's 32 bytes."""
    private = X25519PrivateKey.from_private_bytes(random_bytes(SECRET_BYTES))
    return private, private.public_key().public_bytes_raw()


def derive(
    secret: bytes,
    private: X25519PrivateKey,
    peer_public: bytes,
    hello: bytes,
    welcome: bytes,
) -> SessionKeys | None:
    """The session's keys; None when the peer's public key is a point of small order.

    ``hello`` is the whole datagram, ``welcome`` the header and body without its code: both nonces,
    both public keys and all that was negotiated are bound through the hash over the two.
    """
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(peer_public))
    except ValueError:
        return None
    transcript = hashlib.sha256(len(hello).to_bytes(2, "big") + hello + welcome).digest()
    out = expand(secret + shared, transcript, b"kedge sync 1 session", 4 * SECRET_BYTES)
    return SessionKeys(out[:32], out[32:64], out[64:96], out[96:])


class ReplayWindow:
    """Which counters have been seen: a sliding bitmap (RFC 4303, section 3.4.3).

    Those that come in turn, nearly all, are only counted; the bitmap follows when it is wanted.
    """

    __slots__ = ("_run", "_seen", "newest")

    SIZE = 1024

    def __init__(self) -> None:
        self.newest = -1
        self._run = 0  # the newest ones, in turn, that the bitmap does not show yet
        self._seen = 0  # bit i: newest - _run - i

    def fresh(self, counter: int) -> bool:
        """Whether a datagram with this counter may still be accepted."""
        behind = self.newest - counter
        if behind < 0:
            return True
        if self._run:
            self._catch_up()
        return behind < self.SIZE and not self._seen >> behind & 1

    def mark(self, counter: int) -> bool:
        """Note an authentic counter; True when it is the newest so far."""
        if counter == self.newest + 1:
            self.newest = counter
            self._run += 1
            return True
        if self._run:
            self._catch_up()
        behind = self.newest - counter
        if behind >= 0:
            self._seen |= 1 << behind
            return False
        shift = -behind
        self._seen = (self._seen << shift | 1) & ((1 << self.SIZE) - 1) if shift < self.SIZE else 1
        self.newest = counter
        return True

    def mark_all_before(self, counter: int) -> None:
        """Note the counters that came in turn since the newest."""
        self._run += counter - 1 - self.newest
        self.newest = counter - 1

    def _catch_up(self) -> None:
        run = min(self._run, self.SIZE)
        self._seen = (self._seen << run | ((1 << run) - 1)) & ((1 << self.SIZE) - 1)
        self._run = 0
