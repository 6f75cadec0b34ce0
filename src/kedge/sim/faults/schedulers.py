"""Faults of the scheduler: it is silent, slow, late, or refuses."""

from __future__ import annotations

from kedge.sim.cluster import Cluster
from kedge.sim.faults.kind import Kind, Number, number_of
from kedge.sim.happening import Happening
from kedge.sim.world.overlay import Undo


def _ill(name: str, summary: str, attribute: str, number: Number | None = None) -> Kind:
    def begin(cluster: Cluster, happening: Happening) -> list[Undo]:
        value = True if number is None else number_of(happening, kind, "by")
        scheduler = cluster.scheduler
        return [cluster.overlay.put(scheduler.ills, attribute, value)] if scheduler else []

    kind = Kind(name, "scheduler", summary, begin, numbers={"by": number} if number else {})
    return kind


KINDS = (
    _ill("scheduler_silent", "It does not answer", "silent"),
    _ill("scheduler_refuses", "It refuses the credentials", "refuses"),
    _ill(
        "scheduler_slow", "It answers so much later", "slow_s", Number(20.0, 1.0, 100.0, span=True)
    ),
    _ill(
        "scheduler_late",
        "It carries out what it is told up to so much after Kedge has given up on it",
        "late_s",
        Number(30.0, 1.0, 60.0, span=True),
    ),
)
