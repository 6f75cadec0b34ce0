"""What came of a run, ready to be shown or compared, and where one is that is not over yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kedge.sim.watch import Violation


@dataclass(frozen=True, slots=True)
class Progress:
    """A run on its way: at ``now_s`` of simulated time. ``phase`` is ``faults``, ``healed`` or
    ``quiet``; ``took_s`` is real time."""

    phase: str
    now_s: float
    lasts_s: float
    phases: Mapping[str, int]
    open_faults: int
    took_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """``settled_s``: from the end of all faults until all was well (None: never). ``named`` are the
    nodes that waited for a person after the faults, and why. ``digest`` is equal for equal runs."""

    seed: int
    nodes: int
    simulated_s: float
    took_s: float
    settled_s: float | None
    injected: Mapping[str, int]
    steps: Mapping[str, int]
    outcomes: Mapping[str, int]
    commands: Mapping[str, int]
    datagrams: int
    datagram_bytes: int
    phases: Mapping[str, int]
    jobs: Mapping[str, float] = field(default_factory=dict[str, float])
    named: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    digest: str = ""

    @property
    def node_hours_per_s(self) -> float:
        """Simulated node-hours in a second of real time."""
        return self.nodes * self.simulated_s / 3600.0 / max(self.took_s, 1e-9)

    @property
    def rule(self) -> str:
        """The rule that was broken first; empty: none was."""
        return self.violations[0].rule if self.violations else ""

    def as_dict(self) -> dict[str, Any]:
        """The result as ``-o json`` shows it."""
        found = asdict(self)
        found["violations"] = [violation._asdict() for violation in self.violations]
        found["node_hours_per_s"] = round(self.node_hours_per_s, 2)
        return found
