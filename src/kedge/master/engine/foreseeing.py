"""What the engine would do with nodes that were configured otherwise: asked here, answered in rows.

For each node only what decides is worked out (its goals, what its seen values would then mean, its
pools), and the same only once; the engine does the rest class by class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from kedge.core.condition import PlannedStep
from kedge.core.engine.prospect import Prospect, Would
from kedge.core.events import Pool
from kedge.core.kinds import Value
from kedge.core.node import Configuration
from kedge.master.engine.budgets import Membership, limits_of
from kedge.master.engine.head import Head
from kedge.master.engine.nodes import NodeState
from kedge.site.model import Site, same_node

Goals = Mapping[str, str]
_Decisive = tuple[str | bool, ...]


@dataclass(frozen=True, slots=True)
class Supposed:
    """What is supposed of the nodes besides the site: goals to pass through ``first``, what configured
    values would stand for (``refined``), and that failures are forgiven (``retried``)."""

    first: Goals
    refined: Mapping[str, Value]
    retried: bool = False


NOTHING_MORE = Supposed({}, {})


def concerned(head: Head, site: Site) -> list[str]:
    """The nodes that are otherwise in ``site``, and those that are new there."""
    before = head.site
    if before is None:
        return list(site.nodes)
    return [
        name for name in site.nodes if name not in before.nodes or not same_node(before, site, name)
    ]


def foresee(
    head: Head, site: Site, names: Iterable[str], supposed: Supposed = NOTHING_MORE
) -> Prospect:
    """What these nodes would do were ``site`` applied; changes nothing."""
    steps: dict[Pool, int] = {}
    spans: dict[Pool, int] = {}
    for pool, each in limits_of(site).items():
        (spans if each.span else steps)[pool] = each.limit
    asking = _Asking(head, Membership(site), supposed)
    return head.engine.foresee((asking.would(site.nodes[name]) for name in names), steps, spans)


def path_to(head: Head, configuration: Configuration) -> tuple[PlannedStep, ...]:
    """The path of one node that the engine knows, were it configured so and not held."""
    would = _Asking(head, None, NOTHING_MORE).would(configuration)
    return head.engine.plan_to(would.node, would.goals, would.seen).plan


class _Asking:
    """Turns configurations into what the engine is asked."""

    def __init__(self, head: Head, membership: Membership | None, supposed: Supposed) -> None:
        self._head = head
        self._membership = membership
        self._supposed = supposed
        variables = head.graph.variables.values()
        self._decisive = sorted(
            {v.name for v in variables if v.planned and v.configured}
            | {v.relation.to for v in variables if v.relation is not None}
        )
        self._goals: dict[_Decisive, Goals] = {}

    def would(self, configuration: Configuration) -> Would:
        """One node as it would be."""
        name, supposed = configuration.name, self._supposed
        node = self._head.nodes.get(name)
        if node is None:
            would = NodeState(configuration, self._head.graph.variables)
            seen: Goals = {}
            forgives = True
        else:
            would = replace(node, refined=dict(node.refined))
            forgives = supposed.retried or node.configuration.hold != configuration.hold
            changed = would.reconfigure(configuration)
            forgives = forgives or bool(changed)
            would.refined.update(supposed.refined)
            seen = self._head.meaning(would, changed, supposed.refined)
        return Would(
            name,
            self._goals_of(would),
            seen,
            supposed.first,
            configuration.hold,
            str(would.configured("boot.arch") or ""),
            self._membership.limits(configuration) if self._membership else (),
            self._membership.spans(configuration) if self._membership else (),
            forgives,
        )

    def _goals_of(self, would: NodeState) -> Goals:
        values = [would.configured(name) for name in self._decisive]
        key = tuple(v if isinstance(v, str) else v is not None for v in values)
        found = self._goals.get(key)
        if found is None:
            found = self._goals[key] = self._head.graph.goals(would.goals_from())
        return found
