"""What came of a run, ready to be shown or compared, and where one is that is not over yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kedge.sim.watching.watch import Violation


@dataclass(frozen=True, slots=True)
class Progress:
    """A run on its way: at ``now_s`` of simulated time. ``phase`` is ``faults``, ``healed`` or
    ``quiet``; before that, ``coming up``. ``rollouts`` say how far they are; ``took_s`` is real time."""

    phase: str
    now_s: float
    lasts_s: float
    phases: Mapping[str, int]
    open_faults: int
    took_s: float
    rollouts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """A rollout: how it ended, and what it cost. ``left`` are nodes, by reason, that it did not bring where
    it was to, ``lost_h`` node-hours without a job on nodes that it had taken. ``most_out`` of its nodes
    were out of service at once for whatever reason, ``most_taken`` through the rollout. ``stops`` are
    its pauses (when, why), ``helped`` what a person said to it."""

    name: str
    release: str
    state: str
    why: str
    took_s: float | None
    nodes: int
    moved: int
    left: Mapping[str, str]
    lost_h: float
    most_out: int
    most_taken: int
    most_allowed: int
    stops: tuple[tuple[float, str], ...] = ()
    helped: tuple[str, ...] = ()


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
    rollouts: tuple[RolloutResult, ...] = ()
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
