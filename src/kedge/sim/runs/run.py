"""One run: a cluster, what happens to it, healing, and then everything must come to rest.

First a while in which faults fall and an operator works; then all faults end, and within a bound every
node must have converged, or be in a failure with a name. Those are tried again, as a person would do
after reading why, and then nothing may be left, what Kedge says must be true, and nothing may move.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from kedge.core.module import Module
from kedge.master.serve import installed_modules
from kedge.sim.cluster import Cluster, devices_of
from kedge.sim.commands import Operator
from kedge.sim.faults import FAULTS
from kedge.sim.happening import Happening
from kedge.sim.masters.hosting import Tenant
from kedge.sim.runs.person import Person
from kedge.sim.runs.rest import Rest, untrue
from kedge.sim.runs.result import Progress, Result
from kedge.sim.runs.rollout_summary import rollout_results, words_of
from kedge.sim.scenarios.scenario import Scenario
from kedge.sim.scenarios.shape import Shape, below_of, files_of
from kedge.sim.services.scheduler import JobMix
from kedge.sim.world.overlay import Undo
from kedge.sim.world.time import World
from kedge.site.rollouts import read_rollouts

LOOK_S = 30.0
"""How often it is looked whether the cluster has come to rest, and progress is told."""
JOBS_S = 300.0
"""How long jobs may begin before times count, where all nodes are to be up first."""

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where what the heads write lies: nothing of it is worth a disk."""

Tell = Callable[[Progress], None]


class Run:
    """A scenario on its way. ``tell`` hears of the progress."""

    def __init__(self, scenario: Scenario, cluster: Cluster, tell: Tell) -> None:
        self._scenario = scenario
        self._cluster = cluster
        self._world = cluster.world
        self._tell = tell
        self._operator = Operator(cluster)
        self._open: dict[int, list[Undo]] = {}
        self._person = Person(cluster, self._operator)
        self._phase = "coming up" if scenario.up_first else "faults"
        self._began_s = time.perf_counter()
        self.injected: Counter[str] = Counter()
        self.named: dict[str, str] = {}
        self.settled_s: float | None = None

    # ---- the phases

    def to_its_end(self) -> Result:
        """Let it all happen."""
        scenario, world = self._scenario, self._world
        self._cluster.head.start()
        self._operator.set_up()
        if scenario.up_first:
            self._come_up()
        begin_s = world.now
        for fault in scenario.faults:
            world.at(begin_s + fault.at_s, self._begin, fault)
        for command in scenario.commands:
            values = command.args.get("values")
            if isinstance(values, dict):
                self._cluster.push(values.get("image.wanted"))
            world.at(begin_s + command.at_s, self._operator.do, command)
        for number, expected in enumerate(scenario.expected):
            if expected.at_s is not None:
                world.at(begin_s + expected.at_s, self._expect, number)
        self._pass(begin_s + scenario.lasts_s)
        self._heal()
        self._settle()
        if not world.halted:
            self._finish()
        return self._result()

    def _come_up(self) -> None:
        """Wait until every node is up, and the scheduler has jobs on them."""
        rest = Rest(self._cluster, self._operator)
        self._wait(rest.is_well, self._scenario.settles_s)
        self._pass(self._world.now + JOBS_S)
        self._phase = "faults"

    def _begin(self, fault: Happening) -> None:
        self._cluster.watch.mark("fault", fault.number, fault.kind)
        self.injected[fault.kind] += 1
        self._open[fault.number] = FAULTS[fault.kind].begin(self._cluster, fault)
        if fault.for_s:
            self._world.after(fault.for_s, self._undo, fault)

    def _undo(self, fault: Happening) -> None:
        for undo in self._open.pop(fault.number, ()):
            undo()

    def _heal(self) -> None:
        """All faults end."""
        self._phase = "healed"
        for number in list(self._open):
            for undo in self._open.pop(number):
                undo()

    def _settle(self) -> None:
        """Wait until all is well; once, try again what is quarantined, as a person would."""
        healed_at, rest = self._world.now, Rest(self._cluster, self._operator)
        until = healed_at + self._scenario.settles_s
        if not self._wait(rest.is_at_rest, until):
            return
        self.named = rest.failures()
        if self.named:
            self._operator.do(Happening(self._world.now, "retry", ",".join(self.named)))
            if not self._wait(rest.is_at_rest, until):
                return
        if self._wait(rest.is_well, until):
            self.settled_s = self._world.now - healed_at

    def _wait(self, is_so: Callable[[], str], until: float) -> bool:
        """Let time pass until ``is_so`` has nothing to object."""
        while not self._world.halted:
            if self._world.now >= until:
                self._cluster.watch.violated("everything converges in the end", is_so())
                return False
            self._pass(min(until, self._world.now + LOOK_S))
            if not self._world.halted and not is_so():
                return True
        return False

    def _finish(self) -> None:
        watch = self._cluster.watch
        for violation in untrue(self._cluster):
            watch.violated(*violation)
        for number, expected in enumerate(self._scenario.expected):
            if expected.at_s is None:
                self._expect(number)
        if not self._world.halted:
            self._phase = "quiet"
            watch.quiet_since = self._world.now
            self._pass(self._world.now + self._scenario.quiet_s)

    def _expect(self, number: int) -> None:
        wrong = self._scenario.expected[number].wrong(self._cluster)
        if wrong:
            self._cluster.watch.violated("as the scenario expects", f"expect[{number}]: {wrong}")

    # ---- time

    def _pass(self, until: float) -> None:
        """Let time pass, and tell of it."""
        world = self._world
        while world.now < until and not world.halted:
            world.run_until(min(until, world.now + LOOK_S))
            if self._phase == "healed" or (self._scenario.helps and self._phase == "faults"):
                self._person.look()
            self._tell(self.progress())

    def progress(self) -> Progress:
        """Where it is now."""
        return Progress(
            self._phase,
            self._world.now,
            self._scenario.lasts_s,
            self._cluster.phases(),
            len(self._open),
            time.perf_counter() - self._began_s,
            tuple(words_of(one) for one in self._cluster.rollouts.every.values()),
        )

    def _result(self) -> Result:
        cluster, watch = self._cluster, self._cluster.watch
        tally = watch.tally
        return Result(
            seed=self._scenario.seed,
            nodes=len(cluster.machines),
            simulated_s=self._world.now,
            took_s=time.perf_counter() - self._began_s,
            settled_s=self.settled_s,
            injected=dict(sorted(self.injected.items())),
            steps=dict(sorted(tally.steps.items())),
            outcomes=dict(sorted(tally.outcomes.items())),
            commands=dict(sorted(tally.commands.items())),
            datagrams=cluster.network.sent,
            datagram_bytes=cluster.network.sent_bytes,
            jobs=asdict(cluster.scheduler.tally) if cluster.scheduler is not None else {},
            phases=cluster.phases(),
            named=dict(self.named),
            refused=tuple(self._operator.refused),
            rollouts=rollout_results(cluster),
            violations=tuple(watch.violations),
            digest=watch.digest,
        )


def jobs_of(shape: Shape) -> JobMix:
    """The jobs of a shape."""
    return JobMix(shape.jobs, (1, shape.job_nodes), (60.0, 3600.0 * shape.job_hours))


def run(
    scenario: Scenario,
    *,
    tell: Tell = lambda progress: None,
    modules: tuple[Module, ...] | None = None,
) -> Result:
    """Run a scenario to its end; raises `KedgeError` for a site or words that are wrong."""
    world = World(scenario.seed)
    shape = scenario.shape
    files = {**(scenario.files or files_of(shape)), **scenario.rollouts}
    read_rollouts(files)
    with tempfile.TemporaryDirectory(prefix="kedge-sim-", dir=MEMORY) as folder:
        cluster = Cluster(
            world,
            files,
            tuple(installed_modules()) if modules is None else modules,
            Path(folder),
            heartbeat_s=shape.heartbeat_s,
            jobs=jobs_of(shape) if shape.jobs else None,
            below=below_of(shape),
        )
        for end, node in cluster.hosts.items():
            Tenant(cluster.heads[end], cluster.machines[node], diskless=shape.diskless)
        cluster.release_files = scenario.release_files
        with devices_of(cluster):
            return Run(scenario, cluster, tell).to_its_end()
