"""What can go wrong in a simulated world: one table of kinds, each in the file of what it falls on."""

from __future__ import annotations

from kedge.sim.faults import bmcs, heads, links, machines, registries, schedulers
from kedge.sim.faults.kind import Kind

FAULTS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *links.KINDS,
        *machines.KINDS,
        *bmcs.KINDS,
        *heads.KINDS,
        *registries.KINDS,
        *schedulers.KINDS,
    )
}

__all__ = ["FAULTS", "Kind"]
