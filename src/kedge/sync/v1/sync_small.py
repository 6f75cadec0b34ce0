"""The messages of proto/kedge/sync/v1/sync.proto as tables, for nodes without protobuf.

A test compares the tables with the contract.
"""

from __future__ import annotations

from kedge.sync.small import (
    BOOL,
    BYTES,
    ENUM,
    ENUMS,
    FIXED32,
    OPTIONAL_BYTES,
    STRING,
    UINT32,
    UINT64,
    Message,
)

SECRET_UNSPECIFIED, SECRET_TOKEN, SECRET_NODE_KEY = range(3)
SUITE_UNSPECIFIED, SUITE_AES_256_GCM, SUITE_CHACHA20_POLY1305 = range(3)
VIEW_UNSPECIFIED, VIEW_DISCOVERED, VIEW_CONFIGURED = range(3)
REASON_UNSPECIFIED, REASON_VERSION, REASON_OLD_EPOCH, REASON_TOKEN_SPENT = range(4)
REASON_TOKEN_EXPIRED, REASON_NOT_ADMITTED = 4, 5


class Epoch(Message):
    FIELDS = ((1, "term", UINT64), (2, "counter", UINT64))


class Hello(Message):
    FIELDS = (
        (1, "node", STRING),
        (2, "epoch", Epoch),
        (3, "secret", ENUM),
        (4, "nonce", BYTES),
        (5, "public_key", BYTES),
        (6, "version_min", UINT32),
        (7, "version_max", UINT32),
        (8, "suites", ENUMS),
        (9, "features", UINT64),
        (10, "renewal", BOOL),
        (15, "padding", BYTES),
    )


class Welcome(Message):
    FIELDS = (
        (1, "nonce", BYTES),
        (2, "public_key", BYTES),
        (3, "key_id", FIXED32),
        (4, "version", UINT32),
        (5, "suite", ENUM),
        (6, "features", UINT64),
        (7, "heartbeat_ms", UINT32),
        (8, "lost_after_ms", UINT32),
    )


class Refusal(Message):
    FIELDS = (
        (1, "nonce_prefix", BYTES),
        (2, "reason", ENUM),
        (3, "version_min", UINT32),
        (4, "version_max", UINT32),
    )


class Status(Message):
    FIELDS = (
        (1, "node", STRING),
        (2, "view", ENUM),
        (3, "epoch", Epoch),
        (4, "version", UINT64),
        (5, "hash", BYTES),
    )


class Held(Message):
    FIELDS = (
        (1, "node", STRING),
        (2, "view", ENUM),
        (3, "epoch", Epoch),
        (4, "version", UINT64),
        (5, "doubtful", BOOL),
    )


class Fragment(Message):
    FIELDS = (
        (1, "transfer", UINT32),
        (2, "index", UINT32),
        (3, "count", UINT32),
        (4, "part", BYTES),
    )


class FragmentAck(Message):
    FIELDS = ((1, "transfer", UINT32), (2, "next", UINT32), (3, "beyond", BYTES))


class Bye(Message):
    FIELDS = ((1, "why", ENUM),)
    WHY_UNSPECIFIED, WHY_MOVED, WHY_CLOSING = range(3)


class Frame(Message):
    FIELDS = (
        (1, "ask", BOOL),
        (2, "status", [Status]),
        (3, "held", [Held]),
        (4, "fragment", Fragment),
        (5, "fragment_ack", FragmentAck),
        (6, "bye", Bye),
    )


class Entry(Message):
    FIELDS = ((1, "name", STRING), (2, "version", UINT64), (3, "value", OPTIONAL_BYTES))


class Record(Message):
    FIELDS = (
        (1, "node", STRING),
        (2, "view", ENUM),
        (3, "epoch", Epoch),
        (4, "base", UINT64),
        (5, "version", UINT64),
        (6, "entries", [Entry]),
    )


class Update(Message):
    FIELDS = ((1, "records", [Record]),)


class SavedChild(Message):
    FIELDS = (
        (1, "node", STRING),
        (2, "epoch", Epoch),
        (3, "token", BYTES),
        (4, "node_key", BYTES),
        (5, "discovered", Record),
        (6, "configured", Record),
    )
