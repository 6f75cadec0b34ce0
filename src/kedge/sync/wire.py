"""The datagram's fixed header, the limits of the protocol, and parsing that never trusts its input.

A datagram is 16 bytes of header, a body and, but for refusals and notices of an unknown key, an
authentication code. The header is layout version 1 for ever; the version in it is that of the body.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from kedge.sync.v1 import DecodeError
from kedge.sync.v1 import sync_pb2 as pb

MAGIC = 0x4B  # "K"
VERSION_MIN = 1
VERSION_MAX = 1
HANDSHAKE_VERSION = 1  # hello, welcome and refusal keep this form in all versions

HEADER = struct.Struct(">BBBBIQ")  # magic, version, kind, flags (0), receiver's key id, counter
HEADER_BYTES = HEADER.size
HEAD_BYTES = 8  # of it before the counter: the same in all sealed datagrams of a session, one way
SEAL_BYTES = 16
MAC_BYTES = 32
DATAGRAM_MAX_BYTES = 1200  # UDP payload that fits every path MTU (IPv6's least is 1280)
HELLO_MIN_BYTES = 256  # a welcome is shorter, so that a forged hello amplifies nothing
FRAGMENT_BYTES = 960  # leaves room for status and acknowledgements in the same datagram

NAME_MAX_BYTES = 255
VALUE_MAX_BYTES = 2 << 20
NUMBER_MAX = 2**63 - 1  # terms, counters and versions; a peer that says more is not believed

NONCE_BYTES = 32
PUBLIC_KEY_BYTES = 32
SECRET_BYTES = 32
HASH_BYTES = 16


class Limits(NamedTuple):
    """How large a record may be in a session."""

    entries: int
    size_bytes: int

    @property
    def fragments(self) -> int:
        """Of the largest record, with what its entries take beside names and values."""
        return -(-self.size_bytes // FRAGMENT_BYTES) + self.entries // 2


SMALL = Limits(4096, 4 << 20)
LARGE = Limits(65536, 64 << 20)  # where both ends say FEATURE_LARGE


class Kind(IntEnum):
    """What a datagram is, the third byte of its header."""

    HELLO = 1
    WELCOME = 2
    REFUSAL = 3
    SEALED = 4
    UNKNOWN_KEY = 5


_KINDS = {int(kind): kind for kind in Kind}
_OF_HANDSHAKES = (Kind.HELLO, Kind.WELCOME, Kind.REFUSAL)


class Epoch(NamedTuple):
    """A node's boot, or a parent's tenure: issued by the owner of the group, ordered."""

    term: int
    counter: int

    def __str__(self) -> str:
        return f"{self.term}.{self.counter}"

    @classmethod
    def parse(cls, text: str) -> Epoch:
        """Read ``term.counter`` (``kedge.epoch=`` on a kernel command line); ValueError if it is not."""
        term, dot, counter = text.partition(".")
        if not dot or not (term.isdecimal() and counter.isdecimal()):
            raise ValueError(f"an epoch is <term>.<counter>, not {text!r}")
        epoch = cls(int(term), int(counter))
        if max(epoch) > NUMBER_MAX:
            raise ValueError(f"epoch {text!r} is too large")
        return epoch


NEVER = Epoch(0, 0)  # before every epoch; nobody issues it


class Header(NamedTuple):
    """The first 16 bytes of a datagram."""

    version: int
    kind: Kind
    key_id: int
    counter: int


def pack_header(kind: Kind, key_id: int, counter: int = 0, version: int = VERSION_MAX) -> bytes:
    """The header of a datagram for the receiver's key ``key_id``."""
    return HEADER.pack(MAGIC, version, kind, 0, key_id, counter)


def parse_header(datagram: bytes) -> Header | None:
    """The header, or None for what is not ours. Flags are ignored: later versions may set them."""
    if not HEADER_BYTES <= len(datagram) <= DATAGRAM_MAX_BYTES:
        return None
    magic, version, number, _flags, key_id, counter = HEADER.unpack_from(datagram)
    kind = _KINDS.get(number)
    if magic != MAGIC or kind is None:
        return None
    if version != HANDSHAKE_VERSION and kind in _OF_HANDSHAKES:
        return None
    return Header(version, kind, key_id, counter)


def parse_epoch(message: pb.Epoch, expected: Epoch = NEVER) -> Epoch | None:
    """The epoch in a message, mostly the ``expected`` one; None when its numbers are beyond belief."""
    numbers = message.term, message.counter
    if numbers == expected:
        return expected
    return Epoch(*numbers) if max(numbers) <= NUMBER_MAX else None


def fill_epoch(message: pb.Epoch, epoch: Epoch) -> None:
    """Write ``epoch`` into a message."""
    message.SetInParent()
    message.term = epoch.term
    message.counter = epoch.counter


def parse_hello(body: bytes) -> pb.Hello | None:
    """A hello whose fields have their sizes, or None."""
    hello = pb.Hello()
    if not _parsed(hello, body):
        return None
    sizes_fit = (
        0 < len(hello.node.encode()) <= NAME_MAX_BYTES
        and len(hello.nonce) == NONCE_BYTES
        and len(hello.public_key) == PUBLIC_KEY_BYTES
    )
    if not sizes_fit or not hello.node.isprintable() or parse_epoch(hello.epoch) is None:
        return None
    return hello


def parse_welcome(body: bytes) -> pb.Welcome | None:
    """A welcome whose fields have their sizes, or None."""
    welcome = pb.Welcome()
    if not _parsed(welcome, body):
        return None
    if len(welcome.nonce) != NONCE_BYTES or len(welcome.public_key) != PUBLIC_KEY_BYTES:
        return None
    return welcome


def parse_refusal(body: bytes) -> pb.Refusal | None:
    """A refusal, or None."""
    refusal = pb.Refusal()
    return refusal if _parsed(refusal, body) else None


def parse_frame(body: bytes) -> pb.Frame | None:
    """The inside of a sealed datagram, or None. Its parts are checked where they are used."""
    frame = pb.Frame()
    return frame if _parsed(frame, body) else None


def parse_update(blob: bytes) -> pb.Update | None:
    """A joined transfer, or None."""
    update = pb.Update()
    return update if _parsed(update, blob) else None


def _parsed(
    message: pb.Hello | pb.Welcome | pb.Refusal | pb.Frame | pb.Update | pb.SavedChild, body: bytes
) -> bool:
    # Debian's protobuf lets some errors of its decoder through, or stops half-way with a warning.
    try:
        return message.ParseFromString(body) == len(body)
    except (DecodeError, ValueError, IndexError, struct.error, TypeError, RecursionError):
        return False


def parse_saved(blob: bytes) -> pb.SavedChild | None:
    """What a child saved for its successor, or None."""
    saved = pb.SavedChild()
    return saved if _parsed(saved, blob) else None
