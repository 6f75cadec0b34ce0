"""What the API is asked: query parameters and bodies, with their bounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Nodeset = Annotated[
    str,
    Meta(
        description="A nodeset like n[001-040]; empty means all nodes where that is harmless",
        max_length=1_000_000,
    ),
]


class NoQuery(Struct, forbid_unknown_fields=True):
    """No query parameters."""


class NodesQuery(Struct, forbid_unknown_fields=True):
    """Which nodes."""

    nodes: Nodeset = ""


class PlanQuery(Struct, forbid_unknown_fields=True):
    """Which nodes, and goals in place of the configured ones (``power.state=off``, with commas);
    ``fold``: alike nodes in one row."""

    nodes: Nodeset = ""
    to: Annotated[str, Meta(max_length=4096)] = ""
    fold: bool = False


class EventsQuery(Struct, forbid_unknown_fields=True):
    """Which part of the log: the last events, or (``after``) the first behind a ``seq``."""

    nodes: Nodeset = ""
    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class GraphQuery(Struct, forbid_unknown_fields=True):
    """How to draw, what part, and whose position in it."""

    style: Literal["dot", "mermaid", "svg"] = "dot"
    module: Annotated[str, Meta(max_length=200)] = ""
    node: Annotated[str, Meta(max_length=200)] = ""


class WatchQuery(Struct, forbid_unknown_fields=True):
    """Topics with commas between them; none means all."""

    topics: Annotated[str, Meta(max_length=500)] = ""


class Files(Struct, forbid_unknown_fields=True):
    """A site's files: names relative to its folder, and their texts."""

    files: dict[str, str]


class Application(Struct, forbid_unknown_fields=True):
    """A site's files; with ``revision`` only if nobody committed since that one."""

    files: dict[str, str]
    revision: Annotated[int, Meta(ge=0)] | None = None


class Values(Struct, forbid_unknown_fields=True):
    """Configured values by variable; null takes one back. ``dry_run`` changes nothing."""

    nodes: Nodeset
    values: Annotated[dict[str, Any], Meta(min_length=1)]
    dry_run: bool = False


class ScopeRequest(Struct, forbid_unknown_fields=True):
    """Which nodes, or which group, or ``all``: one of the three. ``dry_run`` changes nothing."""

    nodes: Nodeset = ""
    group: Annotated[str, Meta(max_length=200)] = ""
    all: bool = False
    dry_run: bool = False


class HoldRequest(ScopeRequest, kw_only=True, forbid_unknown_fields=True):
    """What to leave alone, and why. A hold of a group is also one of nodes that come into it later."""

    reason: Annotated[str, Meta(max_length=4096)]


class NodesRequest(Struct, forbid_unknown_fields=True):
    """Which nodes. ``dry_run`` changes nothing."""

    nodes: Nodeset
    dry_run: bool = False


class Meaning(Struct, forbid_unknown_fields=True):
    """Nodes, and what configured values of theirs would stand for."""

    nodes: Nodeset
    values: Annotated[dict[str, Any], Meta(min_length=1)]


class PowerRequest(Struct, forbid_unknown_fields=True):
    """``on`` and ``off`` set the configured state; ``cycle`` passes once through off."""

    nodes: Nodeset
    action: Literal["on", "off", "cycle"]
    dry_run: bool = False


class ActionRequest(Struct, forbid_unknown_fields=True):
    """The arguments of a module's own verb; the module checks them."""

    args: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
