"""The heart of the master: the nodes' two views, the engine over them, and its effects going out.

Everything that changes a node's state comes through here, in one thread and one at a time: what was
observed, what is configured, what failed. What the engine then wants goes to the `Carrier`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from kedge.core.engine.engine import Engine
from kedge.core.events import (
    BudgetSet,
    Effect,
    EndStep,
    Event,
    Many,
    NodeConfigured,
    NodeRemoved,
    Noted,
    Observed,
    RequestDone,
    StartDiscovery,
    StartStep,
    Tick,
    each,
)
from kedge.core.graph import Graph
from kedge.core.kinds import Value, ValueProblem
from kedge.core.node import Configuration, Observation
from kedge.core.variable import UNKNOWN
from kedge.lib.errors import KedgeError
from kedge.master.budgets import Membership, limits_of
from kedge.master.clock import Clock
from kedge.master.journal import Journal
from kedge.master.nodes import NodeState
from kedge.site.model import Site, same_node, same_surroundings
from kedge.stores.port import Note


class Carrier(Protocol):
    """Who carries out what the engine asks for."""

    def start_step(self, effect: StartStep) -> None: ...
    def end_step(self, effect: EndStep) -> None: ...
    def start_discovery(self, effect: StartDiscovery) -> None: ...
    def forget(self, node: str) -> None: ...


class Head:
    """Owns the engine and the nodes. Not thread-safe: it lives in the event loop."""

    carrier: Carrier
    configured: Callable[[NodeState], None]
    """Hears of every node that was configured anew."""
    elsewhere: Callable[[Configuration], str]
    """Who else acts on a node; empty: this process does."""
    forbids: Callable[[str], str]
    """Why no destructive step may begin on a node at this very moment; empty: it may."""

    def __init__(self, graph: Graph, engine: Engine, clock: Clock, journal: Journal) -> None:
        self.graph = graph
        self.engine = engine
        self.clock = clock
        self.journal = journal
        self.nodes: dict[str, NodeState] = {}
        self.site: Site | None = None
        self.elsewhere = lambda _: ""
        self.forbids = lambda _: ""
        self._here: Site | None = None
        self._related: dict[str, list[str]] = {}
        self._membership: Membership | None = None
        self._limits: dict[tuple[str, str], BudgetSet] = {}
        self._asked = {
            name
            for d in graph.discoveries.values()
            if d.handler is not None
            for name in d.variables
        }
        for name, variable in graph.variables.items():
            if variable.relation is not None:
                self._related.setdefault(variable.relation.to, []).append(name)
        self._events: deque[Event] = deque()
        self._draining = False
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, event: Event) -> None:
        """Tell the engine, and send out all that follows from it."""
        self._events.append(event)
        if self._draining:
            return
        self._draining = True
        try:
            while self._events:
                self._send(self.engine.step(self._events.popleft(), self.clock.now()))
        finally:
            self._draining = False
        self._set_timer()

    def _send(self, effects: Iterable[Effect | Many]) -> None:
        """Carry effects out. What is noted of a node in one go becomes one entry of the log."""
        noted: dict[str, list[Note]] = {}
        for effect in effects:
            if isinstance(effect, Noted):
                noted.setdefault(effect.node, []).append(note_of(effect))
            elif not isinstance(effect, Many):
                self._carry_out(effect)
            else:
                if not noted.keys().isdisjoint(effect.nodes):
                    self._write(noted)
                self._send_many(effect)
        self._write(noted)

    def _send_many(self, many: Many) -> None:
        notes = tuple(note_of(effect) for effect in many.effects if isinstance(effect, Noted))
        if notes:
            self.journal.add(tuple(many.nodes), notes)
        if len(notes) < len(many.effects):
            for effect in each(many):
                if not isinstance(effect, Noted):
                    self._carry_out(effect)

    def _write(self, noted: dict[str, list[Note]]) -> None:
        for node, notes in noted.items():
            self.journal.add((node,) if node else (), tuple(notes))
        noted.clear()

    def _carry_out(self, effect: StartStep | EndStep | StartDiscovery | RequestDone) -> None:
        match effect:
            case StartStep():
                self.carrier.start_step(effect)
            case EndStep():
                self.carrier.end_step(effect)
            case StartDiscovery():
                self.carrier.start_discovery(effect)
            case RequestDone():
                self.journal.publish("request", {"node": effect.node, "id": effect.request_id})

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.engine.next_timeout()
        if due is not None:
            delay_s = max(0.0, due - self.clock.now())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay_s, self.feed, Tick())

    def close(self) -> None:
        """Start nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def observe(self, name: str, values: Mapping[str, Value], by: str) -> None:
        """Take in discovered values (None: it can no longer be told); raises `KedgeError` for values
        that their variables do not allow."""
        node = self.nodes.get(name)
        if node is None:
            return
        symbols: dict[str, str] = {}
        checked = {key: self.check(name, key, value) for key, value in values.items()}
        for key, value in checked.items():
            node.discovered[key] = Observation(value, self.clock.wall(), by)
            if self.graph.variables[key].planned:
                symbols[key] = self._symbol(node, key)
        if symbols:
            self.feed(Observed(name, symbols, by))
        self.journal.publish("node", {"node": name})

    def check(self, node: str, key: str, value: Value) -> Value:
        """A value as its variable takes it; raises `KedgeError`."""
        variable = self.graph.variables.get(key)
        if variable is None:
            raise KedgeError("observe.unknown", f"nobody declared a variable {key!r}", where=node)
        if value is None:
            return None
        try:
            return variable.kind.check(value)
        except ValueProblem as problem:
            raise KedgeError(
                "observe.invalid", f"{key}: {problem.what}", where=node,
                why=f"valid: {problem.valid}",
            ) from None  # fmt: skip

    def _symbol(self, node: NodeState, key: str) -> str:
        value = node.seen(key)
        if value is None:
            return UNKNOWN
        relation = self.graph.variables[key].relation
        against = node.configured(relation.to) if relation is not None else None
        return self.graph.symbol(key, value, against)

    def forget_reports(self, name: str, by: str, *, what: str, why: str) -> None:
        """All that ``by`` has told of a node can no longer be relied on; ``what`` goes to the log."""
        node = self.nodes.get(name)
        if node is None:
            return
        told = {key: None for key, seen in node.discovered.items() if seen.by == by}
        self.journal.write(name, by, what, cause=why)
        self.observe(name, told, by)

    def refine(self, name: str, variable: str, value: Value) -> None:
        """A configured value now stands for something more exact; hold relations against it."""
        node = self.nodes.get(name)
        if node is None or node.refined.get(variable) == value:
            return
        node.refined[variable] = value
        self._relate(node, [variable])

    def _relate(self, node: NodeState, changed: Iterable[str]) -> None:
        symbols: dict[str, str] = {}
        for variable in changed:
            for key in self._related.get(variable, ()):
                if key in node.discovered:
                    symbols[key] = self._symbol(node, key)
        if symbols:
            self.feed(Observed(node.name, symbols, "configured", fresh=False))

    def configure(self, site: Site) -> None:
        """Take a whole site: nodes that appear, change or go."""
        before, self.site, self._here = self.site, site, None
        self._membership, limits = Membership(site), limits_of(site)
        dropped = (
            BudgetSet(known.budget, known.pool, 0, known.span)
            for pool, known in self._limits.items()
            if pool not in limits
        )
        for event in (*limits.values(), *dropped):
            if self._limits.get((event.budget, event.pool)) != event:
                self.feed(event)
        self._limits = limits
        for name in [name for name in self.nodes if name not in site.nodes]:
            del self.nodes[name]
            self.feed(NodeRemoved(name))
            self.carrier.forget(name)
        alike = before is not None and same_surroundings(before, site)
        for name, configuration in site.nodes.items():
            if alike and before is not None and same_node(before, site, name):
                continue
            self._configure_node(name, configuration)

    def _configure_node(self, name: str, configuration: Configuration) -> None:
        node = self.nodes.get(name)
        if node is None:
            node = self.nodes[name] = NodeState(configuration, self.graph.variables)
            self._tell_configured(node)
            self.configured(node)
            return
        changed = node.reconfigure(configuration)
        void = {key for variable in changed for key in self._related.get(variable, ())}
        for key in void & self._asked:
            node.discovered.pop(key, None)
        self._tell_configured(node)
        if void & self._asked:
            self.feed(
                Observed(
                    name,
                    dict.fromkeys(sorted(void & self._asked), UNKNOWN),
                    "configured",
                    fresh=False,
                )
            )
        self._relate(node, changed)
        self.configured(node)
        self.journal.publish("node", {"node": name})

    @property
    def here(self) -> Site | None:
        """The site without the nodes that others act on: what is served to machines."""
        site = self.site
        if self._here is None and site is not None:
            own = {n: node for n, node in site.nodes.items() if not self.elsewhere(node)}
            self._here = site if len(own) == len(site.nodes) else replace(site, nodes=own)
        return self._here

    def owner_changed(self, names: Iterable[str]) -> None:
        """Somebody else acts on these nodes from now on, or this process does."""
        self._here = None
        for node in [self.nodes[name] for name in names if name in self.nodes]:
            self._tell_configured(node)
            self.configured(node)
            self.journal.publish("node", {"node": node.name})

    def meaning(
        self, would: NodeState, changed: Iterable[str], refined: Iterable[str]
    ) -> dict[str, str]:
        """What of a node's seen symbols would be otherwise, once the ``changed`` variables are
        configured so (what is asked for must then be asked anew), and the ``refined`` ones mean so."""
        related = {key for name in changed for key in self._related.get(name, ())}
        seen = {key: UNKNOWN if key in self._asked else self._symbol(would, key) for key in related}
        for name in refined:
            for key in self._related.get(name, ()):
                seen.setdefault(key, self._symbol(would, key))
        return {key: symbol for key, symbol in seen.items() if key in would.discovered}

    def _tell_configured(self, node: NodeState) -> None:
        configuration = node.configuration
        self.feed(
            NodeConfigured(
                node.name,
                goals=self.graph.goals(node.goals_from()),
                hold=configuration.hold,
                group=configuration.group,
                fingerprint=node.fingerprint(),
                hardware_class=str(node.configured("boot.arch") or ""),
                limits=self._membership.limits(configuration) if self._membership else (),
                spans=self._membership.spans(configuration) if self._membership else (),
                elsewhere=self.elsewhere(configuration),
            )
        )


def note_of(effect: Noted) -> Note:
    """What the engine noted, as the log takes it."""
    return Note(effect.what, effect.subject, effect.before, effect.after, effect.cause)
