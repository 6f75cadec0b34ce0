"""What a parent or a child has to tell its caller, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kedge.sync.session import Address
from kedge.sync.wire import Epoch


@dataclass(frozen=True, slots=True)
class Joined:
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


@dataclass(frozen=True, slots=True)
class Resumed:
    """A known node is back: with a new session, or in the old one after a silence."""

    node: str
    epoch: Epoch
    address: Address


@dataclass(frozen=True, slots=True)
class Discovered:
    """A node reports. With ``full``, ``changes`` is all that it knows: other names are unknown."""

    node: str
    epoch: Epoch
    changes: Mapping[str, bytes | None]
    full: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The newest session of a node has been silent for too long. What it reported is stale."""

    node: str
    epoch: Epoch
    silent_s: float


@dataclass(frozen=True, slots=True)
class Left:
    """A node ended its session on purpose: it moved to another parent, or its agent ends."""

    node: str
    epoch: Epoch
    moved: bool


@dataclass(frozen=True, slots=True)
class ConfiguredAcked:
    """A node holds the configured record at this version (compare ``Parent.configured_version``)."""

    node: str
    version: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody was turned away (at a parent), or was told so (at a child: advice, not proof)."""

    address: Address
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class SessionUp:
    """A parent has proven itself. Save ``Child.export()`` before you send the next datagrams."""

    parent: Address
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Configured:
    """The configured record, whole, and the names that changed in it (None: gone)."""

    entries: Mapping[str, bytes]
    changed: Mapping[str, bytes | None]
    full: bool


@dataclass(frozen=True, slots=True)
class ParentLost:
    """The parent has been silent for too long; the child goes on with what it has and seeks."""

    parent: Address
    silent_s: float


ParentEvent = Joined | Resumed | Discovered | Lost | Left | ConfiguredAcked | Refused
ChildEvent = SessionUp | Configured | ParentLost | Refused
