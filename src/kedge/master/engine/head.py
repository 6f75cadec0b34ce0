"""The heart of the master: the nodes' two views, the engine over them, and its effects going out.

Everything that changes a node's state comes through here, in one thread and one at a time: what was
observed, what is configured, what failed. What the engine then wants goes to the `Carrier`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from kedge.core.engine.engine import Engine
from kedge.core.events import (
    BudgetSet,
    Effect,
    Event,
    Many,
    NodeConfigured,
    NodeRemoved,
    ObservedMany,
    Pool,
)
from kedge.core.graph import Graph
from kedge.core.kinds import Value, ValueProblem
from kedge.core.node import Configuration
from kedge.core.variable import UNKNOWN
from kedge.lib.errors import KedgeError
from kedge.master.engine.budgets import Membership, limits_of
from kedge.master.engine.ears import Ears
from kedge.master.engine.nodes import NodeState
from kedge.master.engine.sending import Carrier, send
from kedge.master.engine.telling import GoalsOf, Moment, put_together
from kedge.master.persistence.journal import Journal
from kedge.master.process.clock import Clock
from kedge.master.process.garbage import lives_long
from kedge.site.model import Site, same_node, same_surroundings


class Head:
    """Owns the engine and the nodes. Not thread-safe: it lives in the event loop."""

    carrier: Carrier
    configured: Callable[[NodeState], None]
    """Hears of every node that was configured anew."""
    elsewhere: Callable[[Configuration], str]
    """Who else acts on a node; empty: this process does."""
    forbids: Callable[[str], str]
    """Why no destructive step may begin on a node at this very moment; empty: it may."""
    shared: Callable[[BudgetSet], BudgetSet]
    """A limit of the site, with what this process may use of it."""

    def __init__(self, graph: Graph, engine: Engine, clock: Clock, journal: Journal) -> None:
        self.clock = clock
        self.journal = journal
        self.nodes: dict[str, NodeState] = {}
        self.site: Site | None = None
        self.elsewhere = lambda _: ""
        self.forbids = lambda _: ""
        self.shared = lambda limit: limit
        self._here: Site | None = None
        self._membership: Membership | None = None
        self._limits: dict[Pool, BudgetSet] = {}
        self.limits: dict[Pool, BudgetSet] = {}
        """The limits that the site names."""
        self._take(graph)
        self._moment = Moment(clock)
        self._ears = Ears(engine, clock, self._moment, self._send)

    def _take(self, graph: Graph) -> None:
        self.graph = graph
        self._related: dict[str, list[str]] = {}
        for name, variable in graph.variables.items():
            if variable.relation is not None:
                self._related.setdefault(variable.relation.to, []).append(name)
        self._asked = {
            name
            for d in graph.discoveries.values()
            if d.handler is not None
            for name in d.variables
        }
        self._goals = GoalsOf(graph)

    def adopt(self, graph: Graph) -> None:
        """Go over to another graph with all that is known of variables that are still there. It is
        nobody's word: no failure is forgiven, no quarantine ends."""
        self._take(graph)
        for node in self.nodes.values():
            node.adopt(graph.variables)
        self._ears.adopt(graph, put_together(map(self._configured_as, self.nodes.values())))
        for node in self.nodes.values():
            self._relate(node, self._related)
        self.settle()
        for node in self.nodes.values():
            self.configured(node)

    def tell_first(self, first: Callable[[], Iterable[Event]]) -> None:
        """``first`` says what the engine must know before anything else, whenever it is told something."""
        self._ears.first = first

    @property
    def engine(self) -> Engine:
        """The engine, which knows all that was told so far."""
        return self._ears.engine

    def feed(self, event: Event) -> None:
        """Tell the engine, and send out all that follows from it."""
        self._ears.tell((event,))

    def settle(self) -> None:
        """Have the engine take in all that was told."""
        self._ears.settle()

    def _send(self, effects: Iterable[Effect | Many]) -> None:
        send(effects, self.carrier, self.journal)

    def close(self) -> None:
        """Start nothing any more."""
        self._ears.close()

    def observe(self, name: str, values: Mapping[str, Value], by: str) -> None:
        """Take in discovered values (None: it can no longer be told); raises `KedgeError` for values
        that their variables do not allow."""
        node = self.nodes.get(name)
        if node is None:
            return
        checked = {key: self.check(name, key, value) for key, value in values.items()}
        symbols: dict[str, str] = {}
        for key, value in checked.items():
            node.discovered[key] = self._moment.seen(key, value, by)
            if self.graph.variables[key].planned:
                symbols[key] = self._symbol(node, key)
        if symbols:
            self._ears.gather(name, symbols, by, fresh=True)
        if self.journal.watched:
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
            self._ears.gather(node.name, symbols, "configured", fresh=False)

    def configure(self, site: Site) -> None:
        """Take a whole site: nodes that appear, change or go."""
        before, self.site, self._here = self.site, site, None
        self._membership, self.limits = Membership(site), limits_of(site)
        self.limit()
        for name in [name for name in self.nodes if name not in site.nodes]:
            del self.nodes[name]
            self.feed(NodeRemoved(name))
            self.carrier.forget(name)
        alike = before is not None and same_surroundings(before, site)
        changed: dict[frozenset[str], list[NodeState]] = {}
        for name, configuration in site.nodes.items():
            if alike and before is not None and same_node(before, site, name):
                continue
            node = self.nodes.get(name)
            if node is None:
                node = self.nodes[name] = NodeState(configuration, self.graph.variables)
                changed.setdefault(frozenset(), []).append(node)
            else:
                changed.setdefault(node.reconfigure(configuration), []).append(node)
        every = [node for nodes in changed.values() for node in nodes]
        self._ears.tell(put_together(map(self._configured_as, every)), at_once=False)
        for variables, nodes in changed.items():
            self._void(nodes, variables)
        self.settle()
        for node in every:
            self.configured(node)
            self.journal.publish("node", {"node": node.name})
        lives_long(len(every))

    def limit(self) -> None:
        """Tell the engine what it may use of each pool, as it is now."""
        self._ears.tell(self.limits_now())

    def limits_now(self) -> list[Event]:
        """What the engine is to be told of limits; it counts as told."""
        limits = {pool: self.shared(limit) for pool, limit in self.limits.items()}
        dropped = (
            BudgetSet(known.budget, known.pool, 0, known.span)
            for pool, known in self._limits.items()
            if pool not in limits
        )
        found = [
            event
            for event in (*limits.values(), *dropped)
            if self._limits.get((event.budget, event.pool)) != event
        ]
        self._limits = limits
        return list[Event](found)

    def _void(self, nodes: list[NodeState], changed: Iterable[str]) -> None:
        """What relates to a changed value must be asked anew where it can be, or related anew."""
        void = {key for variable in changed for key in self._related.get(variable, ())}
        if not void:
            return
        asked = sorted(void & self._asked)
        for node in nodes:
            for key in asked:
                node.discovered.pop(key, None)
        if asked:
            names, unknown = [node.name for node in nodes], dict.fromkeys(asked, UNKNOWN)
            told = ObservedMany(names, unknown, "configured", fresh=False)
            self._ears.tell((told,), at_once=False)
        for node in nodes:
            self._relate(node, changed)

    @property
    def here(self) -> Site | None:
        """The site without the nodes that others act on: what is served to machines."""
        site = self.site
        if self._here is None and site is not None:
            own = {n: node for n, node in site.nodes.items() if not self.elsewhere(node)}
            self._here = site if len(own) == len(site.nodes) else replace(site, nodes=own)
        return self._here

    def owner_changed(self, names: Iterable[str]) -> None:
        """Somebody else acts on these nodes from now on, or this process does. What the first of them give
        back to budgets must not go to others that are to be let go of as well."""
        self._here = None
        nodes = [self.nodes[name] for name in names if name in self.nodes]
        limits = list(self._limits.values())
        shut = (BudgetSet(each.budget, each.pool, each.limit, each.span, 0) for each in limits)
        changed = put_together(map(self._configured_as, nodes))
        self._ears.tell([*shut, *changed, *limits] if nodes else ())
        for node in nodes:
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

    def _configured_as(self, node: NodeState) -> NodeConfigured:
        configuration = node.configuration
        return NodeConfigured(
            node.name,
            goals=self._goals.of(node),
            hold=configuration.hold,
            group=configuration.group,
            fingerprint=node.fingerprint(),
            hardware_class=str(node.configured("boot.arch") or ""),
            limits=self._membership.limits(configuration) if self._membership else (),
            spans=self._membership.spans(configuration) if self._membership else (),
            elsewhere=self.elsewhere(configuration),
        )
