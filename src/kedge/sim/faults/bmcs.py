"""Faults of BMCs: they hang, are busy, lie, answer or act late, forget, or refuse the password."""

from __future__ import annotations

from kedge.sim.cluster import Cluster
from kedge.sim.faults.kind import Kind, Number, number_of
from kedge.sim.happening import Happening
from kedge.sim.machines.bmc import SimulatedBmc
from kedge.sim.world.overlay import Undo


def _bmcs(cluster: Cluster, happening: Happening) -> list[SimulatedBmc]:
    found = (cluster.bmc(node) for node in cluster.nodes(happening.target))
    return [bmc for bmc in found if bmc is not None]


def _ill(name: str, summary: str, attribute: str, number: Number | None = None) -> Kind:
    """Something that is wrong with a BMC for a while; its ``number`` is called ``by`` or ``share``."""
    called = "by" if number is not None and number.span else "share"

    def begin(cluster: Cluster, happening: Happening) -> list[Undo]:
        value = True if number is None else number_of(happening, kind, called)
        bmcs = _bmcs(cluster, happening)
        return [cluster.overlay.put(bmc.ills, attribute, value) for bmc in bmcs]

    numbers = {called: number} if number is not None else {}
    kind = Kind(name, "bmcs", summary, begin, numbers=numbers)
    return kind


def _change_password(cluster: Cluster, happening: Happening) -> list[Undo]:
    return [cluster.overlay.put(bmc, "password", "another") for bmc in _bmcs(cluster, happening)]


KINDS = (
    _ill("bmc_hangs", "The BMC does not answer", "hangs"),
    _ill("bmc_busy", "The BMC has no free session", "busy"),
    _ill("bmc_slow", "The BMC answers so much later", "slow_s", Number(5.0, 0.5, 35.0, span=True)),
    _ill("bmc_acts_late", "Commands are carried out up to so much later", "late_s",
         Number(10.0, 1.0, 120.0, span=True)),
    _ill("bmc_lies", "The old power state is shown for so long after a change", "lies_s",
         Number(10.0, 1.0, 90.0, span=True)),
    _ill("bmc_forgets", "A share of commands is accepted and never carried out", "drops",
         Number(0.5, 0.1, 1.0)),
    Kind("bmc_password", "bmcs", "The BMC refuses the password", _change_password, weight=1),
)  # fmt: skip
