"""The entries of the two records between a master and a sub-master, and how they are packed.

Down, in the configured record:

    common              cluster, networks, budgets, settings, groups, sub-masters' addresses, terms of leases
    node/NAME           a node's configuration, and the digests of its host files' templates
    file/DIGEST         a template, shared by all nodes that have it
    lease               the newest renewal that was seen, and the groups it is good for, with terms
    key/NAME            a node's boot epoch and node key: it may come here without a new boot
    share/BUDGET POOL   what may be used of a pool: the number of this telling, how much, how much of it
                        without a lease, the pool's limit, and what of others is in the way, in words
    leaving/NAME        a node goes to another owner: where its agent may report from now on
    seen/NAME           what a node's agent reported to another parent, while the owner does not hear it
    relay/NAME          what a node's owner wrote for its agent, which is attached here: epoch and version of
                        that record, and its entries, each with its version
    orders/NAME         orders that a node's agent has from the former owner, for the one that takes over
    ask/ID              what a person asked for once (retry, cycle)
    secret/NAME         a named secret that the nodes' configuration names
    image/REF ARCH      the record of an image that was asked for
    layer0/ARCH         the record of a boot environment
    near                where the sub-master above this one has blobs
    child/NAME          a sub-master below this one: how it is admitted
    below/NAME/ENTRY    an entry of that one's own configured record (`passing`)

Up, in the discovered record:

    health              version, addresses, what is degraded, the boot of the machine
    lease               the counter of the newest renewal
    agent/NAME          what a node's agent reported here: epoch, version, entries, whether it is attached;
                        of a node of another owner also which configured record it holds
    view/NAME           a node as its owner sees it
    key/NAME            epoch and key of a node that joined here
    asked/ID            that was done
    configured/NAME     what was written here for an agent that is attached to another parent, and does not
                        hold it yet: as in relay/NAME
    held/BUDGET POOL    the number of the share that is kept to, how much is used, and waited for
    wish/REF ARCH       an image that is needed here
    log/SLOT            the newest entries of the log, in a ring
    child/NAME          a sub-master below: whether it is attached here, its epoch, key and address
    below/NAME/ENTRY    an entry of that one's own discovered record (`passing`)

Values are msgpack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

COMMON, LEASE, HEALTH = "common", "lease", "health"
NODE, FILE, KEY, SEEN, ASK, SECRET = "node/", "file/", "key/", "seen/", "ask/", "secret/"
ORDERS = "orders/"
CONFIGURED, RELAY = "configured/", "relay/"
AGENT, VIEW, ASKED, WISH, LOG = "agent/", "view/", "asked/", "wish/", "log/"
LEAVING = "leaving/"
SHARE, HELD = "share/", "held/"
IMAGE, LAYER0 = "image/", "layer0/"
CHILD, BELOW, NEAR = "child/", "below/", "near"

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def pack(value: object) -> bytes:
    """A value as it travels: equal values are equal bytes."""
    return _encoder.encode(value)


def unpack(raw: bytes | None) -> Any:
    """The value, or None for nothing and for what cannot be read."""
    if raw is None:
        return None
    try:
        return msgspec.msgpack.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def of_kind(entries: Mapping[str, bytes], kind: str) -> dict[str, bytes]:
    """The entries of a kind, without it in their names."""
    return {name[len(kind) :]: raw for name, raw in entries.items() if name.startswith(kind)}
