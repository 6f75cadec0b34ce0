"""What the master knows of one sub-master."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kedge.core.node import Configuration
from kedge.sync.wire import Epoch


@dataclass(slots=True)
class SubMaster:
    """One sub-master. ``down`` is all that it is told, made anew while ``stale``; ``moving`` are
    nodes on their way to another owner, as they were; ``wishes`` and ``handed`` are of images. Of one below
    another: whether that one hears it, until when it may join, with which epoch and key it has."""

    name: str
    attached: bool = False
    since: float = 0.0
    address: str = ""
    stale: bool = True
    health: dict[str, Any] = field(default_factory=dict[str, Any])
    asks: dict[str, bytes] = field(default_factory=dict[str, bytes])
    parts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    down: dict[str, bytes] = field(default_factory=dict[str, bytes])
    moving: dict[str, Configuration | None] = field(
        default_factory=dict[str, "Configuration | None"]
    )
    handed: dict[str, bytes] = field(default_factory=dict[str, bytes])
    wishes: dict[str, int] = field(default_factory=dict[str, int])
    answered: dict[str, int] = field(default_factory=dict[str, int])
    heard: bool = False
    until: float = 0.0
    joined: Epoch | None = None
    key: bytes = b""
