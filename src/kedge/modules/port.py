"""The one door between a module and the world: what a handler or a service may use.

The master implements `Io`; the simulator and the modules' own tests do so too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from kedge.core.kinds import Value
from kedge.core.node import Configuration, Observation
from kedge.site.model import Site

T = TypeVar("T")


class Node(Protocol):
    """A node as a handler sees it: a snapshot, never changed by the handler."""

    @property
    def name(self) -> str: ...
    @property
    def configuration(self) -> Configuration: ...
    @property
    def discovered(self) -> Mapping[str, Observation]: ...

    def configured(self, variable: str) -> Value:
        """The configured value of a variable, or its default."""
        ...

    def seen(self, variable: str) -> Value:
        """The discovered value of a variable, or None."""
        ...


class Permit(Protocol):
    """Leave for one boot of one node: only while the engine boots it, used once."""

    @property
    def node(self) -> str: ...
    @property
    def epoch(self) -> str: ...
    @property
    def token(self) -> bytes: ...


OPEN = re.compile(r"\{[^{}]*\}")
"""A part of a site's pattern that is another one for each node: ``{rack}``."""

ClaimKind = Literal["files", "releases", "rollouts", "master"]


class ImageClaim(NamedTuple):
    """Something, ``name``, needs an image: this very ``digest``, or what ``reference`` is pinned to, for
    ``arch`` (empty: for any). A ``{}`` in a reference stands for whatever a node's own words make of it."""

    kind: ClaimKind
    name: str
    reference: str = ""
    arch: str = ""
    digest: str = ""


class Above(Protocol):
    """Where a sub-master gets from what it does not make itself."""

    async def fetch(self, topic: str, subject: str) -> None:
        """Have the master hand down something (``image``: a reference and an architecture) with all its
        blobs; returns when it is here; raises `KedgeError`."""
        ...


class Peers(Protocol):
    """The sub-masters below this process."""

    def is_heard_on(self, submaster: str, node: str) -> bool:
        """Whether a sub-master is heard, and speaks from the present boot of this node."""
        ...

    def admit(self, submaster: str) -> Mapping[str, Value]:
        """Let a sub-master join once, soon: what its join file must say; raises `KedgeError`."""
        ...


class Io(Protocol):
    """What the master gives to handlers and services."""

    @property
    def peers(self) -> Peers | None:
        """At the master its sub-masters; None at a sub-master, which has none."""
        ...

    @property
    def above(self) -> Above | None:
        """At a sub-master the way up; None at the master, which makes everything itself."""
        ...

    def parents(self, node: str) -> tuple[str, ...]:
        """Where the node's agent may report, as ``address:port``, the preferred one first; nothing where
        only this process is."""
        ...

    def is_peer(self, address: str) -> bool:
        """Whether a sub-master, or a node of whatever owner, is at this address: it may have any blob
        (a node that boots goes on where it began when its group gets another owner)."""
        ...

    @property
    def site(self) -> Site:
        """The site as it is applied now."""
        ...

    @property
    def state_dir(self) -> Path:
        """The state directory; blobs lie in ``blobs/sha256``."""
        ...

    def settings(self, module: str) -> Mapping[str, Value]:
        """The section of this process's configuration file that belongs to ``module``; of a sub-master that
        has none, the master's, as soon as that was told."""
        ...

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def node(self, name: str) -> Node | None:
        """The node of that name."""
        ...

    def nodes(self) -> Mapping[str, Node]:
        """All nodes, by name."""
        ...

    def observe(self, node: str, values: Mapping[str, Value], *, by: str = "") -> None:
        """Report discovered values (raw, by variable name); None means unknown."""
        ...

    def refine(self, node: str, variable: str, value: Value) -> None:
        """Say what a configured value stands for now (a tag's digest): relations are held against it
        until the configured value itself changes."""
        ...

    def observe_stranger(self, mac: str, facts: Mapping[str, Value]) -> None:
        """Report a machine that is in no file (listed as discovered; gets no configuration)."""
        ...

    def secret(self, name: str) -> Mapping[str, str]:
        """A named secret (``{"username": ..., "password": ...}``); raises `KedgeError`."""
        ...

    async def blocking(self, lane: str, call: Callable[..., T], *args: Any, timeout_s: float) -> T:
        """Run a blocking call on a worker thread. Calls of one ``lane`` (a BMC's address) run one at a
        time, and a lane that hangs never keeps another waiting; raises `TimeoutError`."""
        ...

    def order(self, node: str, mutation: str, args: Mapping[str, Value]) -> None:
        """Put an order for the running step of ``mutation`` into the node's configured record."""
        ...

    def grant_boot(self, node: str) -> None:
        """Issue a new boot permit (a new epoch and token); ends an earlier one."""
        ...

    def take_permit(self, node: str, blobs: Collection[str] = ()) -> Permit | None:
        """Consume the node's unused permit, if there is one; ``blobs`` are the digests that the node may
        fetch from now on, until its permit ends."""
        ...

    def promised_blobs(self) -> frozenset[str]:
        """The digests that somebody may still fetch because he was told so: nodes whose boot is under way,
        and agents with an order."""
        ...

    def image_claims(self) -> Sequence[ImageClaim]:
        """What needs an image besides the nodes as they are now: the site's files, releases, rollouts; at a
        sub-master what was handed down. Raises `KedgeError` where that cannot be known."""
        ...

    def revoke_boot(self, node: str) -> None:
        """End the node's permit, used or not."""
        ...

    def put_record(self, node: str, name: str, value: Value) -> None:
        """Set an entry of the configured record that goes down to the node's agent."""
        ...

    def event(self, node: str, what: str, subject: str, cause: str) -> None:
        """Append to the event log."""
        ...

    def degraded(self, name: str, why: str) -> None:
        """Have ``kedge status`` say that something does not work now, and why; no reason: it works again."""
        ...

    def publish(self, topic: str, message: Mapping[str, Value]) -> None:
        """Tell everybody who watches right now (progress); nothing is kept."""
        ...

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` under the supervisor: restarted with back-off when it fails."""
        ...
