"""What a parent or a child has to tell its caller, in the order in which it happened.

Named tuples, not dataclasses: those would cost an agent two megabytes of imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kedge.sync.session import Address
from kedge.sync.wire import Epoch


class Joined(NamedTuple):
    """A node came with its boot token, which is spent now.

    Store ``node_key`` before you send the next datagrams: from then on the child relies on it.
    Whatever was discovered in earlier epochs is void.
    """

    node: str
    epoch: Epoch
    node_key: bytes
    address: Address

    def __repr__(self) -> str:  # never the key
        return f"Joined({self.node!r}, {self.epoch}, {self.address!r})"


class Resumed(NamedTuple):
    """A known node is back: with a new session, or in the old one after a silence."""

    node: str
    epoch: Epoch
    address: Address


class Discovered(NamedTuple):
    """A node reports. With ``full``, ``changes`` is all that it knows: other names are unknown."""

    node: str
    epoch: Epoch
    changes: Mapping[str, bytes | None]
    full: bool


class Lost(NamedTuple):
    """The newest session of a node has been silent for too long. What it reported is stale."""

    node: str
    epoch: Epoch
    silent_s: float


class Left(NamedTuple):
    """A node ended its session on purpose: it moved to another parent, or its agent ends."""

    node: str
    epoch: Epoch
    moved: bool


class ConfiguredAcked(NamedTuple):
    """A node holds the configured record at this version (compare ``Parent.configured_version``).

    Told once per version and session, so again after a restart or a renewal of keys.
    """

    node: str
    version: int


class Refused(NamedTuple):
    """Somebody was turned away (at a parent), or was told so (at a child: advice, not proof)."""

    address: Address
    node: str
    reason: str


class SessionUp(NamedTuple):
    """A parent has proven itself. Save ``Child.export()`` before you send the next datagrams."""

    parent: Address
    epoch: Epoch


class Configured(NamedTuple):
    """The configured record, whole, and the names that changed in it (None: gone)."""

    entries: Mapping[str, bytes]
    changed: Mapping[str, bytes | None]
    full: bool


class ParentLost(NamedTuple):
    """The parent has been silent for too long; the child goes on with what it has and seeks."""

    parent: Address
    silent_s: float


ParentEvent = Joined | Resumed | Discovered | Lost | Left | ConfiguredAcked | Refused
ChildEvent = SessionUp | Configured | ParentLost | Refused
