"""What the API takes and gives, as structs: the checks of requests and the schemas of OpenAPI.

Requests refuse keys they do not know; answers may gain keys in a later version.
"""

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
    """Which nodes, and goals in place of the configured ones (``power.state=off``, with commas)."""

    nodes: Nodeset = ""
    to: Annotated[str, Meta(max_length=4096)] = ""


class EventsQuery(Struct, forbid_unknown_fields=True):
    """Which part of the log: the last events, or (``after``) the first behind a ``seq``."""

    nodes: Nodeset = ""
    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class GraphQuery(Struct, forbid_unknown_fields=True):
    """How to draw, what part, and whose position in it."""

    style: Literal["dot", "mermaid"] = "dot"
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


class HoldRequest(Struct, forbid_unknown_fields=True):
    """Which nodes to leave alone, and why."""

    nodes: Nodeset
    reason: Annotated[str, Meta(max_length=4096)]


class NodesRequest(Struct, forbid_unknown_fields=True):
    """Which nodes."""

    nodes: Nodeset


class PowerRequest(Struct, forbid_unknown_fields=True):
    """``on`` and ``off`` set the configured state; ``cycle`` passes once through off."""

    nodes: Nodeset
    action: Literal["on", "off", "cycle"]
    dry_run: bool = False


class ActionRequest(Struct, forbid_unknown_fields=True):
    """The arguments of a module's own verb; the module checks them."""

    args: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class About(Struct):
    """The master itself; ``degraded`` names services that fail, and why."""

    version: str
    cluster: str
    revision: int
    nodes: int
    started: float
    degraded: dict[str, str]
    strangers: int


class NodeRow(Struct):
    """One node: which phase, since when (seconds since the epoch), why, and what is next."""

    node: str
    phase: Literal["converged", "moving", "waiting", "held", "blocked", "quarantined"]
    since: float
    why: str
    next: str
    symbols: dict[str, str]
    goals: dict[str, str]
    power: str
    stage: str
    image: Any
    step: str
    progress: dict[str, Any] | None
    hold: str
    failures: dict[str, str]


class ConfiguredValue(Struct):
    """A configured value, where it was written, and when it was set by command (0: it is in a file)."""

    value: Any
    origin: str
    at: float


class DiscoveredValue(Struct):
    """A discovered value, when it was seen and by whom."""

    value: Any
    at: float
    by: str


class NodeDetail(NodeRow):
    """All that is known of one node."""

    group: str
    profiles: list[str]
    addresses: dict[str, str]
    macs: dict[str, str]
    attributes: dict[str, Any]
    configured: dict[str, ConfiguredValue]
    discovered: dict[str, DiscoveredValue]
    facts: dict[str, Any]


class PlanStep(Struct):
    """A step to come: what it is for (``why``), and the steps it comes ``after`` (by place)."""

    mutation: str
    effects: dict[str, str]
    cost_s: int
    where: str
    after: list[int]
    why: str
    summary: str


class PlanRow(Struct):
    """A node's path to what is configured; ``blocked_by`` where there is none."""

    node: str
    phase: str
    why: str
    waits: str
    steps: list[PlanStep]
    cost_s: int
    proven_cheapest: bool
    given_up: list[str]
    blocked_by: str


class ChangeRow(Struct):
    """One field of one thing that changes; ``varied`` counts the values behind a folded row."""

    kind: str
    name: str
    change: str
    field: str
    before: Any
    after: Any
    origin: str
    varied: int


class VariableRow(Struct):
    """A declared variable."""

    name: str
    configured: bool
    valid: str
    summary: str


class EventRow(Struct):
    """One event of the append-only log."""

    seq: int
    at: float
    node: str
    what: str
    subject: str
    before: str
    after: str
    cause: str


class ErrorBody(Struct):
    """One error: a stable code, what is wrong, where, why, and what to do next."""

    code: str
    what: str
    where: str
    why: str
    next_step: str


class Refusal(Struct):
    """What every answer from status 400 up holds: the first error, and all of them."""

    error: ErrorBody
    errors: list[ErrorBody]
