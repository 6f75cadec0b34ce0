"""The invariants: what must never happen, looked at while it happens.

Nothing here asks the production code whether it did right; it sees the effects of engines, the commands
that reach BMCs, and the scripts that boot servers hand out, and compares them with each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from kedge.core.events import Effect, EndStep, StartStep
from kedge.core.mutation import Mutation
from kedge.core.node import Configuration
from kedge.sim.head import Program
from kedge.sim.web import Answer
from kedge.sim.world import World


class Violation(NamedTuple):
    """What must not happen, and did."""

    at: float
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what} (at {self.at:.3f} s)"


@dataclass
class Step:
    """A step in flight, as its engine said."""

    program: str
    start: int
    node: str
    mutation: str
    step_id: str
    since: float
    pools: tuple[tuple[str, str], ...] = ()


@dataclass
class Tally:
    """What was counted on the way, for the summary."""

    steps: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    commands: Counter[str] = field(default_factory=Counter[str])
    scripts: int = 0


class Watch:
    """Sees everything, and keeps the first violation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[Violation] = []
        self.tally = Tally()
        self.steps: dict[tuple[str, int, str], Step] = {}
        self.quiet_since: float | None = None

    def violated(self, rule: str, what: str) -> None:
        """Keep it, and stop the world."""
        self.violations.append(Violation(self._world.now, rule, what))
        self._world.halted = True

    # ---- what is seen

    def bug(self, program: Program, what: str, error: BaseException | None) -> None:
        """An exception came where none may."""
        self.violated("no bugs", f"{program.end}: {what}: {error!r}")

    def physics_failed(self, what: str, error: BaseException | None) -> None:
        """The simulator itself is wrong."""
        raise RuntimeError(f"the simulator failed: {what}") from error

    def engine_did(self, program: Program, effects: list[Effect]) -> None:
        """Effects of an engine, before they are carried out."""
        for effect in effects:
            if isinstance(effect, StartStep):
                self._started(program, effect)
            elif isinstance(effect, EndStep):
                self.tally.outcomes[effect.outcome] += 1
                self.steps.pop((program.end, program.starts, effect.step_id), None)

    def script_given(self, program: Program, mac: str, answer: Answer) -> None:
        """A boot server answered with a script."""
        if "kedge.token=" in answer.text:
            self.tally.scripts += 1
            node = answer.text.partition("kedge.node=")[2].partition(" ")[0]
            if not any(s.node == node and s.mutation == "boot.load" for s in self.steps.values()):
                self.violated("boot only while booting", f"{node} was given its script, but no "
                              "step boots it")  # fmt: skip

    def bmc_heard(self, source: str, node: str, what: str) -> None:
        """A command reached a BMC."""
        self.tally.commands[what] += 1

    # ---- the rules

    def _started(self, program: Program, effect: StartStep) -> None:
        node, name = effect.node, effect.mutation
        self.tally.steps[name] += 1
        master = program.master
        state = master.head.nodes.get(node) if master is not None else None
        step = Step(program.end, program.starts, node, name, effect.step_id, self._world.now)
        self.steps = {
            key: known
            for key, known in self.steps.items()
            if known.program != program.end or known.start == program.starts
        }
        for other in self.steps.values():
            if other.node == node and other.program != program.end:
                self.violated("one owner", f"{program.end} begins {name} on {node} while "
                              f"{other.program} carries out {other.mutation}")  # fmt: skip
        if state is not None:
            if state.configuration.hold:
                self.violated("no effect on a held node", f"{name} began on {node}, "
                              f"held: {state.configuration.hold}")  # fmt: skip
            step.pools = self._pools(program, node, name)
        self.steps[program.end, program.starts, effect.step_id] = step
        self._count_budgets(program, step)
        if self.quiet_since is not None:
            self.violated("quiet when all is well", f"{name} began on {node}, "
                          "though all had converged")  # fmt: skip

    def _pools(self, program: Program, node: str, mutation: str) -> tuple[tuple[str, str], ...]:
        assert program.master is not None
        head = program.master.head
        if head.site is None:
            return ()
        return pools_of(
            head.graph.mutations[mutation], head.nodes[node].configuration, head.site.budgets
        )

    def _count_budgets(self, program: Program, step: Step) -> None:
        if not step.pools or program.master is None or program.master.head.site is None:
            return
        budgets = program.master.head.site.budgets
        used = Counter(
            pool
            for known in self.steps.values()
            if known.program == step.program
            for pool in known.pools
        )
        for budget, pool in step.pools:
            limit = budgets[budget][pool.partition(" ")[0]]
            if limit and used[budget, pool] > limit:
                self.violated("budgets kept", f"{used[budget, pool]} steps at once take {budget} of "
                              f"{pool}, whose limit is {limit}")  # fmt: skip


def pools_of(
    mutation: Mutation, node: Configuration, budgets: Mapping[str, Mapping[str, int]]
) -> tuple[tuple[str, str], ...]:
    """The pools that a step draws from, by what the site says; not asked of the master."""
    found: list[tuple[str, str]] = []
    for budget, kinds in sorted(budgets.items()):
        named = mutation.where != "waits" and fnmatchcase(mutation.name, budget)
        if budget not in mutation.budgets and not named:
            continue
        for kind in kinds:
            own = {"cluster": "", "group": node.group}.get(kind, node.attributes.get(kind))
            if own is not None:
                found.append((budget, f"{kind} {own}".strip()))
    return tuple(found)
