"""The engine's door: events in, effects out, and what a person may ask about a node.

``step`` does a bounded amount of work per event: it looks at the nodes that the event woke (through
one ready queue) and at the timers that are due (one heap). A converged node costs nothing but its
poll timers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kedge.core.condition import Condition
from kedge.core.engine import keeping, showing
from kedge.core.engine.adopting import adopt
from kedge.core.engine.asking import looked_at
from kedge.core.engine.breaker import Breaker
from kedge.core.engine.budgets import Usage
from kedge.core.engine.chance import Chance
from kedge.core.engine.common import Common
from kedge.core.engine.costs import Costs, Measured
from kedge.core.engine.deciding import look_again
from kedge.core.engine.hearing import take_in
from kedge.core.engine.nodes import Nodes
from kedge.core.engine.prospect import Prospect, Would, foresee
from kedge.core.engine.record import Record
from kedge.core.engine.service import is_down
from kedge.core.engine.settings import Settings
from kedge.core.engine.waking import due
from kedge.core.events import ConfiguredMany, Effect, Event, Many, Pool, each
from kedge.core.explain import Explainer
from kedge.core.graph import Graph
from kedge.core.planner.cache import Planner


class Engine:
    """All nodes of one owner. ``restart`` must differ in every run on the same state (it is part of
    every step's number); ``settings`` say how patient the engine is."""

    def __init__(
        self,
        graph: Graph,
        *,
        seed: int,
        restart: int = 0,
        settings: Settings | None = None,
    ) -> None:
        chosen = settings or Settings()
        self.graph = graph
        self.planner = Planner(graph.compiled)
        self._common = Common(
            graph,
            graph.compiled,
            self.planner,
            chosen,
            Chance(seed),
            Breaker(chosen),
            Explainer(graph.compiled),
            Costs(graph.compiled),
            restart,
            Nodes(chosen, f"{restart}-"),
            looked_at(graph.compiled),
        )
        self._sweeps = 0
        self._saved: dict[str, keeping.Saved] = {}

    # --- the loop ------------------------------------------------------------------------------

    def step(self, event: Event, now: float) -> list[Effect]:
        """Take in one event at ``now`` (seconds; it never falls) and say what is to be done."""
        return [
            effect
            for found in self.advance((event,), now)
            for effect in (each(found) if isinstance(found, Many) else (found,))
        ]

    def advance(self, events: Iterable[Event], now: float) -> list[Effect | Many]:
        """Take in many events at once. What concerns many nodes alike comes out as one `Many`."""
        common = self._begin(now)
        take_in(common, events, self._saved)
        look_again(common)
        return self._finish()

    def adopt(
        self, graph: Graph, told: Iterable[ConfiguredMany], now: float
    ) -> list[Effect | Many]:
        """Go over to another graph: no node is reset, nothing in flight begins again. ``told`` are the
        goals and fingerprints that follow from the graph; they count as nobody's word."""
        common = self._begin(now)
        adopt(common, graph, told)
        look_again(common)
        self.graph, self.planner = graph, common.planner
        return self._finish()

    def _begin(self, now: float) -> Common:
        common = self._common
        common.now = max(now, common.now)
        common.effects = []
        return common

    def _finish(self) -> list[Effect | Many]:
        common = self._common
        while (timer := common.timers.due(common.now)) is not None:
            due(common, *timer)
            look_again(common)
        common.learn_costs()
        common.nodes.fold(common.now)
        if common.nodes.sweeps != self._sweeps:
            self._sweeps = common.nodes.sweeps
            common.transitions.clear()
        return common.effects

    def next_timeout(self) -> float | None:
        """When `step` wants to be called with a `Tick`, at the latest; None for never."""
        return self._common.timers.next()

    def _look(self, node: str) -> Record:
        nodes = self._common.nodes
        return nodes.look(nodes.rows[node], self._common.now)

    # --- questions -----------------------------------------------------------------------------

    def nodes(self) -> list[str]:
        """The names of all nodes."""
        return sorted(self._common.nodes.rows)

    @property
    def followed(self) -> int:
        """How often a node took a transition that another had shown."""
        return self._common.followed

    def differing(self) -> list[str]:
        """The nodes whose discovered state is not the configured one; cheap, however many nodes."""
        return self._common.nodes.differing()

    def condition(self, node: str) -> Condition:
        """What a person sees of the node; raises KeyError for one that is not known."""
        return showing.condition(self._common, self._look(node))

    def explain(self, node: str) -> showing.Explanation:
        """The path that leads to what is configured, with costs and reasons, or what blocks it."""
        return showing.explain(self._common, self._look(node))

    plan_for = explain

    def plan_to(
        self, node: str, goals: Mapping[str, str], seen: Mapping[str, str]
    ) -> showing.Explanation:
        """The path that other goals would lead to, were ``seen`` discovered; changes nothing."""
        common = self._common
        wanted = common.compiled.assignment(self.graph.meaningful(goals))
        found = common.compiled.assignment(seen)
        return showing.plan_to(common, self._look(node), wanted, found)

    def foresee(
        self, woulds: Iterable[Would], limits: Mapping[Pool, int], spans: Mapping[Pool, int]
    ) -> Prospect:
        """What nodes would do were they configured so, within these limits; changes nothing."""
        return foresee(self._common, woulds, limits, spans)

    def usage(self) -> tuple[list[Usage], list[Usage]]:
        """All pools that have a limit: those of steps (whose users are named ``node/mutation``), and
        those of spans."""
        return self._common.budgets.usage(), self._common.spans.usage()

    def demand(self, pool: Pool, *, span: bool) -> tuple[int, int]:
        """How many use a pool, and how many wait for it; cheap."""
        return (self._common.spans if span else self._common.budgets).demand(pool)

    def in_service(self, node: str) -> bool:
        """Whether all is seen to hold that its configured goals stand on, whoever acts on the node."""
        return not is_down(self._common, self._look(node))

    def quarantined(self, node: str) -> str:
        """Why a node is quarantined; empty where it is not. Cheap."""
        row = self._common.nodes.rows.get(node)
        if row is None or not self._common.nodes.is_apart(row):
            return ""
        quarantine = self._look(node).quarantine
        return quarantine.reason if quarantine is not None else ""

    def costs(self) -> list[Measured]:
        """What was measured of each mutation, by class of hardware."""
        return self._common.costs.rows()

    def export(self, *, costs: bool = True) -> dict[str, Any]:
        """What must survive a restart and cannot be discovered again; JSON can hold it. Without
        ``costs`` these are empty, which is much less work."""
        return keeping.export(self._common, self._saved, costs=costs)

    def restore(self, exported: Mapping[str, Any]) -> None:
        """Take back what `export` gave, before the nodes are configured. Planned variables stay
        unknown until they are observed."""
        self._saved = keeping.read(exported)
        self._common.costs.restore(exported.get("costs", {}))
