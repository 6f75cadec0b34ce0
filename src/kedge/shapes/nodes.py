"""How the API tells of the master and of nodes."""

from __future__ import annotations

from typing import Any, get_args

from msgspec import Struct, field

from kedge.core.condition import Phase

PHASES: tuple[Phase, ...] = get_args(Phase)
"""Every phase that a node may be in."""

SETTLED: tuple[Phase, ...] = ("held", "blocked", "quarantined")
"""Phases in which a node stays until a person does something."""


class About(Struct):
    """The master itself; ``degraded`` names services that fail, and why."""

    version: str
    cluster: str
    revision: int
    nodes: int
    started: float
    degraded: dict[str, str]
    strangers: int
    role: str = "master"
    name: str = ""


class NodeRow(Struct):
    """One node: which phase, since when (seconds since the epoch), why, and what is next. ``image`` is what
    runs there, ``reference`` its name where it is the wanted one."""

    node: str
    phase: Phase
    since: float
    why: str = ""
    next: str = ""
    symbols: dict[str, str] = field(default_factory=dict[str, str])
    goals: dict[str, str] = field(default_factory=dict[str, str])
    power: str = "unknown"
    stage: str = "unknown"
    image: Any = None
    step: str = ""
    progress: dict[str, Any] | None = None
    hold: str = ""
    owner: str = ""
    failures: dict[str, str] = field(default_factory=dict[str, str])
    group: str = ""
    reference: str = ""


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


class NodeDetail(NodeRow, kw_only=True):
    """All that is known of one node."""

    profiles: list[str]
    addresses: dict[str, str]
    macs: dict[str, str]
    attributes: dict[str, Any]
    configured: dict[str, ConfiguredValue]
    discovered: dict[str, DiscoveredValue]
    facts: dict[str, Any]
