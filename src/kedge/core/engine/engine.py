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
from kedge.core.engine.asking import deafen, heard, look, looked_at, poll
from kedge.core.engine.breaker import Breaker
from kedge.core.engine.chance import Chance
from kedge.core.engine.common import Common
from kedge.core.engine.costs import Costs, Measured
from kedge.core.engine.deciding import decide
from kedge.core.engine.failing import fail_step
from kedge.core.engine.knowing import learn
from kedge.core.engine.record import Record
from kedge.core.engine.settings import Settings
from kedge.core.engine.steps import node_of
from kedge.core.engine.telling import configure, forgive, remove, request
from kedge.core.events import (
    BudgetSet,
    DiscoveryFailed,
    Effect,
    Event,
    Many,
    NodeConfigured,
    NodeRemoved,
    Observed,
    Requested,
    Retried,
    StepFailed,
    apart,
    each,
)
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
            looked_at(graph.compiled),
        )
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
        common = self._common
        common.now = max(now, common.now)
        common.effects = []
        for event in events:
            for single in apart(event):
                self._take(single)
        while (due := common.timers.due(common.now)) is not None:
            self._due(*due)
        while (record := common.next_ready()) is not None:
            decide(common, record)
        return list(common.effects)

    def next_timeout(self) -> float | None:
        """When `step` wants to be called with a `Tick`, at the latest; None for never."""
        return self._common.timers.next()

    def _take(self, event: Event) -> None:
        if isinstance(event, Observed):
            record = self._common.records.get(event.node)
            if record is not None:
                self._observed(record, event)
        elif isinstance(event, NodeConfigured):
            configure(self._common, event, self._saved)
        elif isinstance(event, BudgetSet):
            budgets = self._common.spans if event.span else self._common.budgets
            for waiter in budgets.limit((event.budget, event.pool), event.limit):
                self._common.wake(node_of(waiter))
        elif isinstance(event, Requested):
            request(self._common, event)
        elif isinstance(event, StepFailed | DiscoveryFailed | Retried | NodeRemoved):
            record = self._common.records.get(event.node)
            if record is not None:
                self._told(record, event)

    def _told(
        self, record: Record, event: StepFailed | DiscoveryFailed | Retried | NodeRemoved
    ) -> None:
        common = self._common
        if isinstance(event, StepFailed):
            for running in list(record.running):
                if running.step_id == event.step_id:
                    fail_step(
                        common,
                        record,
                        running,
                        "failed",
                        event.reason,
                        event.next_step,
                        event.permanent,
                    )
        elif isinstance(event, DiscoveryFailed):
            asked = common.compiled.ask_named.get(event.discovery)
            if asked is not None:
                deafen(common, record, asked.number, event.reason, event.next_step)
        elif isinstance(event, Retried):
            common.note(record, "request", "retry", cause=event.by)
            forgive(common, record)
            common.wake(record.name)
        else:
            remove(common, record)

    # --- events --------------------------------------------------------------------------------

    def _observed(self, record: Record, event: Observed) -> None:
        seen = self._common.reading(event.values)
        if seen:
            learn(self._common, record, seen, event.by, fresh=event.fresh)
            if record.asking or record.deaf:
                heard(self._common, record, [v for v, _ in seen], fresh=event.fresh)

    # --- timers --------------------------------------------------------------------------------

    def _due(self, when: float, name: str, sort: str, key: int) -> None:
        common = self._common
        if sort == "group":
            for node in sorted(common.stalled.pop(name, ())):
                common.wake(node)
            return
        record = common.records.get(name)
        if record is None:
            return
        if sort == "poll":
            poll(common, record, key)
        elif sort == "asked":
            if record.asking and record.asking.get(key, when + 1) <= when:
                self._silent(record, key)
        elif sort == "wake":
            common.wake(name)
        else:
            for running in list(record.running):
                if running.serial == key:
                    if sort == "look":
                        look(common, record, running)
                    else:
                        self._timed_out(record, key)

    def _silent(self, record: Record, number: int) -> None:
        """Nobody answered, or nobody was heard, until the deadline."""
        common = self._common
        asked = common.compiled.asks[number]
        name, timeout_s = asked.discovery.name, asked.discovery.timeout_s
        silent = tuple((v, x) for v, x in asked.on_timeout if record.seen[v] == 0)
        if asked.discovery.handler is not None or not silent:
            deafen(common, record, number, f"no answer within {timeout_s:g} s", "")
            return
        reason = f"nothing was heard for {timeout_s:g} s"
        learn(common, record, silent, f"{name}: {reason}", assumed=reason)
        heard(common, record, [v for v, _ in silent])

    def _timed_out(self, record: Record, serial: int) -> None:
        common = self._common
        running = next(r for r in record.running if r.serial == serial)
        mutation = running.action.mutation
        assert mutation is not None
        reason = f"no effect within {mutation.timeout_s:g} s"
        fail_step(common, record, running, "timeout", reason)
        assumed = common.compiled.assignment(mutation.on_timeout)
        if assumed:
            learn(common, record, assumed, f"{mutation.name}: {reason}", assumed=reason)

    # --- questions -----------------------------------------------------------------------------

    def nodes(self) -> list[str]:
        """The names of all nodes."""
        return sorted(self._common.records)

    def condition(self, node: str) -> Condition:
        """What a person sees of the node; raises KeyError for one that is not known."""
        return showing.condition(self._common, self._common.records[node])

    def explain(self, node: str) -> showing.Explanation:
        """The path that leads to what is configured, with costs and reasons, or what blocks it."""
        return showing.explain(self._common, self._common.records[node])

    plan_for = explain

    def plan_to(
        self, node: str, goals: Mapping[str, str], seen: Mapping[str, str]
    ) -> showing.Explanation:
        """The path that other goals would lead to, were ``seen`` discovered; changes nothing."""
        common = self._common
        wanted = common.compiled.assignment(self.graph.meaningful(goals))
        found = common.compiled.assignment(seen)
        return showing.plan_to(common, common.records[node], wanted, found)

    def costs(self) -> list[Measured]:
        """What was measured of each mutation, by class of hardware."""
        return self._common.costs.rows()

    def export(self) -> dict[str, Any]:
        """What must survive a restart and cannot be discovered again; JSON can hold it."""
        return keeping.export(self._common, self._saved)

    def restore(self, exported: Mapping[str, Any]) -> None:
        """Take back what `export` gave, before the nodes are configured. Planned variables stay
        unknown until they are observed."""
        self._saved = keeping.read(exported)
        self._common.costs.restore(exported.get("costs", {}))
