"""Faults of links: datagrams that are lost, come twice, late or never, in one direction or both."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from kedge.sim.cluster import Cluster
from kedge.sim.faults.kind import Kind, Number, number_of, word_of
from kedge.sim.happening import Happening
from kedge.sim.world.network import Condition
from kedge.sim.world.overlay import Undo

WAYS = ("both", "out", "in")
"""``out``: only what the target sends; ``in``: only what it should receive."""


class _Field(NamedTuple):
    """A number of the fault, and the field of `Condition` that it sets."""

    name: str
    number: Number


def _link(name: str, summary: str, weight: int = 2, **fields: _Field) -> Kind:
    def begin(cluster: Cluster, happening: Happening) -> list[Undo]:
        given: dict[str, Any] = {
            field: number_of(happening, kind, known.name) for field, known in fields.items()
        }
        if not fields:
            given["cut"] = True
        target = cluster.ends(happening.target)
        others = cluster.ends(str(happening.args.get("to", "all"))) - target
        way = word_of(happening, kind, "way")
        undo: list[Undo] = []
        for source, sink, unless in ((target, others, "in"), (others, target, "out")):
            if way != unless:
                condition = Condition(source, sink, **given)
                cluster.network.begin(condition)
                undo.append(partial(cluster.network.end, condition))
        return undo

    numbers = {known.name: known.number for known in fields.values()}
    kind = Kind(name, "links", summary, begin, numbers=numbers, words={"way": WAYS}, weight=weight)
    return kind


SHARE = Number(0.2, 0.05, 0.7)
KINDS = (
    _link("cut", "Nothing comes through between the target and others (`to`)", 4),
    _link("loss", "A share of datagrams is lost", 4, loss=_Field("share", SHARE)),
    _link("twice", "A share of datagrams comes twice", twice=_Field("share", SHARE)),
    _link(
        "late", "A share of datagrams takes up to so much longer, and is overtaken",
        late=_Field("share", SHARE), late_s=_Field("by", Number(2.0, 0.05, 20.0, span=True)),
    ),
    _link(
        "delay", "Everything takes so much longer",
        delay_s=_Field("by", Number(0.2, 0.01, 3.0, span=True)),
    ),
)  # fmt: skip
