"""Faults of registries: they are down, mute, slow, corrupt, incomplete, or refuse and lose images."""

from __future__ import annotations

from kedge.sim.cluster import Cluster
from kedge.sim.faults.kind import Kind, Number, number_of, word_of
from kedge.sim.happening import Happening
from kedge.sim.world.overlay import Undo


def _ill(name: str, summary: str, attribute: str) -> Kind:
    def begin(cluster: Cluster, happening: Happening) -> list[Undo]:
        return [cluster.overlay.put(cluster.registry, attribute, True)]

    return Kind(name, "registry", summary, begin, weight=1)


def _slow(cluster: Cluster, happening: Happening) -> list[Undo]:
    factor = number_of(happening, SLOW, "factor")
    return [cluster.overlay.put(cluster.registry, "slowness", factor)]


def _break(cluster: Cluster, happening: Happening) -> list[Undo]:
    how = word_of(happening, BROKEN, "how")
    return [cluster.overlay.put(cluster.registry, "broken", how)]


BROKEN = Kind(
    "build_broken", "registry", "The newest builds come up unfit, or not at all", _break,
    words={"how": ("unfit", "init")}, weight=0,
)  # fmt: skip
SLOW = Kind(
    "registry_slow", "registry", "Everything takes so many times as long", _slow,
    numbers={"factor": Number(10.0, 2.0, 200.0)}, weight=1,
)  # fmt: skip
KINDS = (
    _ill("registry_down", "Connections are refused", "down"),
    _ill("registry_silent", "Nothing is answered", "silent"),
    _ill("registry_corrupt", "A layer's content is not what its digest says", "corrupt"),
    _ill("registry_incomplete", "An image's last layer is not there", "lacks_layers"),
    _ill("registry_refuses", "The credentials are refused", "refuses"),
    _ill("registry_empty", "It knows no image", "empty"),
    SLOW,
    BROKEN,
)
