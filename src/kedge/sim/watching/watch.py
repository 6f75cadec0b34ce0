"""The invariants: what must never happen, looked at while it happens.

Nothing here asks the production code whether it did right; it sees the effects of engines, the commands
that reach BMCs, the scripts that boot servers hand out, what is committed and what is held at both ends
of the sync, and compares them with each other.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kedge.agent.place import RUNNING
from kedge.core.events import Effect, EndStep, StartStep
from kedge.lib.errors import KedgeError
from kedge.sim.masters.head import Program
from kedge.sim.watching.budget_watch import BudgetWatch
from kedge.sim.watching.rollout_watch import RolloutWatch
from kedge.sim.world.time import World
from kedge.sim.world.web import Answer
from kedge.stores.port import Intent

OPERATION_S = 20.0
"""How long a destructive step may take until it has its effect, as leases reckon (`kedge.core.lease`)."""
ENDS_WITHIN_S = 60.0
"""How long a system takes to end, of which Kedge knows that it told it to."""
COMMAND_LASTS_S = 60.0
"""How long after its step ended a command may still reach a BMC: it was on its way."""


BUSY = "no destructive step on a busy node"


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
    failed_starts: int = 0


class Watch:
    """Sees everything, and keeps the first violation. ``commanding``: an operator commits now."""

    def __init__(self, world: World, stage_of: Callable[[str], str]) -> None:
        self._world = world
        self._stage_of = stage_of
        self.violations: list[Violation] = []
        self.tally = Tally()
        self.commanding = False
        self.programs: dict[str, Program] = {}
        self.busy: Callable[[str], str] = lambda node: ""
        self.rollouts: RolloutWatch | None = None
        self.quiet_since: float | None = None
        self._intents: dict[str, Intent] = {}
        self._ending: dict[str, float] = {}
        self.steps_of: Counter[str] = Counter()
        self._steps: dict[str, dict[str, Step]] = {}
        self._ended: dict[str, float] = {}
        self.budgets = BudgetWatch(world, self.violated, stage_of)
        self._destroyed: dict[str, tuple[str, float]] = {}
        self._marks: dict[tuple[object, ...], object] = {}
        self._digest = hashlib.blake2b(digest_size=16)

    def violated(self, rule: str, what: str) -> None:
        """Keep it, and stop the world."""
        self.violations.append(Violation(self._world.now, rule, what))
        self._world.halted = True

    def mark(self, *words: object) -> None:
        """What happened now becomes part of the run's digest."""
        self._digest.update(f"{self._world.now!r} {words}\n".encode())

    @property
    def digest(self) -> str:
        """Stands for all that happened: equal for equal runs."""
        return self._digest.hexdigest()

    # ---- what is seen

    def bug(self, program: Program, what: str, error: BaseException | None) -> None:
        """An exception came where none may."""
        self.violated("no bugs", f"{program.end}: {what}: {error!r} {way_of(error)}")

    def failed_to_run(self, program: Program, error: KedgeError) -> None:
        """A process ended by itself, with an error for its operator."""
        self.mark("failed", program.end, error.code)
        self.tally.failed_starts += 1

    def physics_failed(self, what: str, error: BaseException | None) -> None:
        """The simulator itself is wrong."""
        raise RuntimeError(f"the simulator failed: {what}") from error

    def engine_did(self, program: Program, effects: list[Effect]) -> None:
        """Effects of an engine, before they are carried out."""
        for effect in effects:
            if isinstance(effect, StartStep):
                self.mark("start", program.end, effect.node, effect.mutation)
                self._started(program, effect)
            elif isinstance(effect, EndStep):
                self.mark("end", program.end, effect.node, effect.mutation, effect.outcome)
                self.tally.outcomes[effect.outcome] += 1
                self._end(effect.node, f"{program.end} {program.starts} {effect.step_id}")

    def script_given(self, program: Program, mac: str, answer: Answer) -> None:
        """A boot server answered with a script."""
        if "kedge.token=" not in answer.text:
            return
        self.tally.scripts += 1
        node = answer.text.partition("kedge.node=")[2].partition(" ")[0]
        self.mark("script", program.end, node)
        if not any(step.mutation == "boot.load" for step in self.steps_on(node)):
            self.violated("boot only while booting", f"{node} was given its script, but no "
                          "step boots it")  # fmt: skip

    def bmc_heard(self, source: str, node: str, what: str) -> None:
        """A command reached a BMC."""
        self.mark("bmc", source, node, what)
        self.tally.commands[what] += 1
        if what == "shut_down":
            self._ending[node] = self._world.now
        program = self.programs.get(source)
        if what in ("off", "shut_down") and program is not None:
            self._acts(program, node, what)
        running = any(step.program == source for step in self.steps_on(node))
        if not running and self._world.now - self._ended.get(node, -1e9) > COMMAND_LASTS_S:
            self.violated("commands come from steps", f"{source} told the BMC of {node}: {what}, "
                          "but has no step on it")  # fmt: skip

    def committed(self, program: Program, intent: Intent) -> None:
        """A head replaced what is configured."""
        self.mark("intent", program.end, intent.revision)
        before, self._intents[program.end] = self._intents.get(program.end), intent
        rollouts = self.rollouts
        by_rollout = before and rollouts and rollouts.explains(program, before, intent)
        if rollouts is not None:
            rollouts.committed(intent)
        if not self.commanding and not by_rollout:
            self.violated("configured by people only", f"{program.end} wrote revision "
                          f"{intent.revision}, and nobody had told it to")  # fmt: skip

    def kept(self, program: Program, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """A head's store took a record."""
        if self.rollouts is not None and kind in ("rollout", "release"):
            self.mark("kept", program.end, kind, key)
            self.rollouts.kept(kind, key, record)

    def gate_ended(self, rollout: str, gate: str, passed: bool) -> None:
        """The command of a gate ended."""
        self.mark("gate", rollout, gate, passed)
        if self.rollouts is not None:
            self.rollouts.gate_ended(rollout, gate, passed)

    def returned(self, node: str) -> None:
        """Kedge gives a node back to the scheduler."""
        ending_s = self._world.now - self._ending.get(node, -1e9)
        if ending_s < ENDS_WITHIN_S and self._stage_of(node) != RUNNING:
            self.violated("no jobs on a node that ends", f"{node} is given back {ending_s:.0f} s after it "
                          f"was told to shut down, and is at {self._stage_of(node)!r}")  # fmt: skip

    def overruled(self, node: str, what: str, reason: str) -> None:
        """Somebody's drain was ended or given another reason by Kedge."""
        self.violated("a person's drain stays", f"Kedge was to {what} {node}, drained: {reason}")

    def rises(self, what: str, *place: object, value: object) -> None:
        """An order (versions, epochs) at one place, which must never go back."""
        key = (what, *place)
        before = self._marks.get(key)
        if before is not None and value < before:  # type: ignore[operator]
            self.violated("versions never go back", f"{what} of {place} went from {before} "
                          f"to {value}")  # fmt: skip
        self._marks[key] = value

    def stopped(self, program: Program) -> None:
        """A process is no more: nor are its steps."""
        for node, steps in list(self._steps.items()):
            for key, step in list(steps.items()):
                if step.program == program.end:
                    self._end(node, key)

    def steps_on(self, node: str) -> list[Step]:
        """The steps in flight on a node."""
        return list(self._steps.get(node, {}).values())

    # ---- the rules

    def _started(self, program: Program, effect: StartStep) -> None:
        node, name = effect.node, effect.mutation
        self.tally.steps[name] += 1
        self.steps_of[node] += 1
        step = Step(program.end, program.starts, node, name, effect.step_id, self._world.now)
        key = f"{program.end} {program.starts} {step.step_id}"
        master = program.master
        destructive = master is not None and master.head.graph.mutations[name].destructive
        if master is not None and destructive:
            why = master.head.forbids(node)
            if why:  # (nothing is sent, but what people are shown would be wrong)
                self.violated("one owner", f"{program.end} begins {name} on {node}, but {why}")
            self._acts(program, node, name)
        state = master.head.nodes.get(node) if master is not None else None
        if state is not None:
            if state.configuration.hold:
                self.violated("no effect on a held node", f"{name} began on {node}, "
                              f"held: {state.configuration.hold}")  # fmt: skip
            assert master is not None
            root = next(iter(self.programs.values())).master
            if root is not None and root.head.site is not None:
                self.budgets.site = root.head.site
            mutation = master.head.graph.mutations[name]
            step.pools = self.budgets.started(program, node, mutation, key)
        self._steps.setdefault(node, {})[key] = step
        if self.quiet_since is not None:
            self.violated("quiet when all is well", f"{name} began on {node}, "
                          "though all had converged")  # fmt: skip

    def _acts(self, program: Program, node: str, name: str) -> None:
        """A destructive step begins: nobody else may have begun one so lately that it may still have
        its effect, and nobody who owned the node later may have begun one at all."""
        before, at = self._destroyed.get(node, (program.end, 0.0))
        since_s = self._world.now - at
        busy = self.busy(node)
        if busy:
            self.violated(BUSY, f"{program.end} begins {name} on "
                          f"{node}, where {busy} runs")  # fmt: skip
        if before != program.end and since_s < OPERATION_S:
            self.violated("one owner", f"{program.end} begins {name} on {node}, {since_s:.0f} s after "
                          f"{before} began a destructive step there")  # fmt: skip
        term = program.term(node)
        if not term:
            self.violated("one owner", f"{program.end} begins {name} on {node}, "
                          "which it does not own")  # fmt: skip
        self.rises("fencing term", node, value=term)
        self._destroyed[node] = program.end, self._world.now

    def _end(self, node: str, key: str) -> None:
        step = self._steps.get(node, {}).pop(key, None)
        if step is not None:
            self._ended[node] = self._world.now
            self.budgets.ended(step.pools, key)


def way_of(error: BaseException | None) -> str:
    """Through which functions an error came."""
    frames = list(traceback.extract_tb(error.__traceback__)) if error is not None else []
    return " < ".join(f"{Path(f.filename).name}:{f.name}:{f.lineno}" for f in reversed(frames))
