"""A faulty world with a hidden true state per node, for the engine's properties.

The world carries steps out after a while (or fails, or stays silent), answers polls (or does not),
reports what nodes say, changes by itself, and can let the head crash and start again.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from kedge.core.engine import Engine, Settings
from kedge.core.events import (
    DiscoveryFailed,
    Effect,
    EndStep,
    Event,
    NodeConfigured,
    Observed,
    StartDiscovery,
    StartStep,
    StepFailed,
    Tick,
)
from kedge.core.graph import Graph
from kedge.core.planner.order import conflict
from kedge.core.planner.task import Goals


class Truth:
    """Nodes as they really are, and one engine that tries to know and move them."""

    def __init__(self, graph: Graph, rng: random.Random, faults: float) -> None:
        self.graph, self.compiled, self.rng, self.faults = graph, graph.compiled, rng, faults
        self.now = 0.0
        self.restart = 0
        self.engine = self._new_engine()
        self.state: dict[str, list[int]] = {}
        self.goals: dict[str, Goals] = {}
        self.held: dict[str, str] = {}
        self.flying: dict[str, dict[str, str]] = {}
        self.ids: set[str] = set()
        self.broken: set[tuple[str, str]] = set()
        """Nodes and mutations: these never work."""
        self.steps = 0
        self.talk = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def _new_engine(self) -> Engine:
        self.restart += 1
        return Engine(
            self.graph,
            seed=self.rng.randrange(1 << 30),
            restart=self.restart,
            settings=Settings(breaker_least=1000),
        )

    # --- what happens --------------------------------------------------------------------------

    def add(self, node: str, state: tuple[int, ...], goals: Goals) -> None:
        self.state[node], self.goals[node] = list(state), goals
        self.settle(self.state[node])
        self.held[node], self.flying[node] = "", {}
        self.configure(node)

    def settle(self, state: list[int]) -> None:
        """Every variable that means something has a value, even if nobody knows it."""
        self.compiled.normalise(state)
        for variable, value in enumerate(state):
            if value == 0 and not self.compiled.broken(variable, state):
                state[variable] = 1
                self.compiled.normalise(state)

    def configure(self, node: str) -> None:
        goals = self.compiled.named(self.goals[node])
        self.tell(NodeConfigured(node, goals, hold=self.held[node]))

    def crash(self) -> None:
        """The head dies and starts again; what it had asked for may still happen."""
        kept = self.engine.export()
        self.engine = self._new_engine()
        self.engine.restore(kept)
        for node in self.state:
            self.flying[node] = {}
            self.configure(node)

    def change(self, node: str, variable: int, value: int) -> None:
        """Something changes by itself."""
        self._become(node, {variable: value})

    def _become(self, node: str, values: dict[int, int]) -> None:
        before = list(self.state[node])
        for variable, value in values.items():
            self.state[node][variable] = value
        self.settle(self.state[node])
        for variable, value in enumerate(self.state[node]):
            ask = self.compiled.ask_of.get(variable)
            if value != before[variable] and ask and ask.discovery.handler is None:
                self._report(node, variable)

    def _report(self, node: str, variable: int) -> None:
        """The node says something by itself, some time later, as things are then."""

        def speak() -> None:
            truth = self.state[node]
            if not self.compiled.broken(variable, truth):
                name = self.compiled.name(variable)
                value = self.compiled.symbol(variable, truth[variable])
                self.tell(Observed(node, {name: value}, "node"))

        self._later(self.rng.uniform(0.01, 5), speak)

    # --- the loop ------------------------------------------------------------------------------

    def _later(self, delay: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (self.now + delay, self._count, act))

    def tell(self, event: Event) -> None:
        self.talk += 1
        for effect in self.engine.step(event, self.now):
            self._do(effect)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            due = self.engine.next_timeout()
            act = self._agenda[0][0] if self._agenda else None
            nearest = min((t for t in (due, act) if t is not None), default=None)
            if nearest is None or nearest > end:
                self.now = end
                return
            self.now = max(self.now, nearest)
            if act is not None and act <= nearest:
                heapq.heappop(self._agenda)[2]()
            else:
                self.tell(Tick())

    # --- carrying out --------------------------------------------------------------------------

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, StartStep):
            self._start(effect)
        elif isinstance(effect, EndStep):
            del self.flying[effect.node][effect.step_id]
        elif isinstance(effect, StartDiscovery):
            self._ask(effect)

    def _start(self, effect: StartStep) -> None:
        node = effect.node
        assert not self.held[node], "a mutation began on a held node"
        assert effect.step_id not in self.ids, "a step number was used twice"
        self.ids.add(effect.step_id)
        self.steps += 1
        phase = self.engine.condition(node).phase
        assert phase in ("moving", "waiting"), f"a step began on a node that is {phase}"
        action = self.compiled.mutation_actions[effect.mutation]
        for name in self.flying[node].values():
            other = self.compiled.mutation_actions[name]
            assert not conflict(action, other), f"{action.name} beside {other.name}"
        self.flying[node][effect.step_id] = effect.mutation
        luck = self.rng.random()
        if luck < self.faults / 2:
            return

        def carry_out() -> None:
            truth = self.state[node]
            fits = all(truth[v] in ok or 0 in ok for v, ok in action.reads)
            if luck < self.faults or not fits or (node, effect.mutation) in self.broken:
                self.tell(StepFailed(node, effect.step_id, "it did not work"))
            else:
                self._become(node, dict(action.own))

        self._later(self.rng.uniform(0.01, 50), carry_out)

    def _ask(self, effect: StartDiscovery) -> None:
        asked = self.compiled.ask_named[effect.discovery]
        if asked.discovery.handler is None:
            for variable in asked.variables:
                self._report(effect.node, variable)
            return
        if self.rng.random() < self.faults / 2:
            return

        def answer() -> None:
            if self.rng.random() < self.faults:
                self.tell(DiscoveryFailed(effect.node, effect.discovery, "no answer"))
                return
            truth = self.state[effect.node]
            self.tell(
                Observed(
                    effect.node,
                    self.compiled.named((v, truth[v]) for v in asked.variables),
                    "poll",
                )
            )

        self._later(self.rng.uniform(0.01, 10), answer)
