"""A node's two views: what it should be (configured) and what was last seen of it (discovered)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Value


@dataclass(frozen=True, slots=True)
class Observation:
    """One discovered value: what, when (``at``, seconds since the epoch, the head's clock), by whom."""

    value: Value
    at: float
    by: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a node should be, after all of the site's layers and overrides are resolved.

    ``values`` maps variable names to values; ``hold`` is the reason why the engine leaves the node
    alone (empty: it does not); ``attributes`` are the site's own words about the node, for patterns
    and templates (``rack: 1``).
    """

    name: str
    values: Mapping[str, Value] = field(default_factory=dict[str, Value])
    group: str = ""
    profiles: tuple[str, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    macs: Mapping[str, str] = field(default_factory=dict[str, str])
    attributes: Mapping[str, Value] = field(default_factory=dict[str, Value])
    hold: str = ""
