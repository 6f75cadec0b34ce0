"""A simulated workload manager: nodes that take jobs, jobs that run on real (simulated) machines, drains.

It behaves like Slurm where that matters: a node that is drained begins no new jobs; one that does not
answer for a while is down and its jobs are lost; a node that is down comes back only when somebody
resumes it. Jobs come from a `JobMix`, by chance, so that the share of busy nodes stays near a target.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kedge.lib.nodeset import fold
from kedge.modules.scheduler.driver import OURS
from kedge.sim.world.time import World

KEDGE = "root"
"""Under which name Kedge changes nodes."""
TICK_S = 10.0
SILENT_S = 300.0
"""How long a node may be silent before it is down (SlurmdTimeout)."""


class Runs(Protocol):
    """A machine, as far as jobs need it."""

    @property
    def stage(self) -> str: ...
    @property
    def frozen(self) -> bool: ...
    @property
    def starts(self) -> int: ...


@dataclass(frozen=True, slots=True)
class JobMix:
    """The jobs: which ``share`` of the nodes they keep busy, how many nodes one takes and how long it
    runs (from and to, in seconds)."""

    share: float = 0.8
    nodes: tuple[int, int] = (1, 8)
    lasts_s: tuple[float, float] = (60.0, 900.0)


@dataclass(slots=True)
class Job:
    """A job on its nodes, from when and until when it runs, and until when it may."""

    id: str
    nodes: tuple[str, ...]
    began_at: float
    ends_at: float
    limit_at: float


@dataclass(slots=True)
class SchedulerNode:
    """One node as the scheduler has it. ``boot`` is the start of the machine that it was seen in."""

    name: str
    drained: bool = False
    down: bool = True
    reason: str = ""
    set_by: str = ""
    features: tuple[str, ...] = ()
    job: Job | None = None
    heard_at: float = 0.0
    boot: int = 0

    @property
    def state(self) -> str:
        """``in_service``, ``draining``, ``drained`` or ``down``."""
        if self.drained:
            return "draining" if self.job is not None else "drained"
        return "down" if self.down else "in_service"


@dataclass
class Ills:
    """What is wrong with the scheduler now."""

    silent: bool = False
    refuses: bool = False
    slow_s: float = 0.0
    late_s: float = 0.0
    """Within which time after Kedge gave up on it a command is carried out; 0.0: at once, and answered."""


@dataclass
class JobTally:
    """What came of the jobs. ``lost_s`` are node-seconds of work that was lost."""

    begun: int = 0
    done: int = 0
    lost: int = 0
    lost_s: float = 0.0
    busy_s: float = 0.0


class SimulatedScheduler:
    """The scheduler of a cluster."""

    def __init__(self, world: World, machines: Mapping[str, Runs], mix: JobMix) -> None:
        self.world = world
        self.mix = mix
        self.ills = Ills()
        self.tally = JobTally()
        self.overruled: Callable[[str, str, str], None] = lambda node, what, reason: None
        """Hears of every drain of somebody else that Kedge ends or changes."""
        self.returns: Callable[[str], None] = lambda node: None
        """Hears of every node that Kedge gives back."""
        self.nodes = {name: SchedulerNode(name) for name in machines}
        self._machines = machines
        self._jobs = 0
        self._ticked_at = world.now
        world.after(TICK_S, self._tick)

    @property
    def chance(self) -> random.Random:
        """The chance of jobs."""
        return self.world.streams("jobs")

    # ---- what is true

    def busy(self, node: str) -> Job | None:
        """The job that runs on a node's machine now, if its machine is still the one it began on."""
        known = self.nodes.get(node)
        if known is None or known.job is None or not self._runs(known):
            return None
        return known.job

    def busy_words(self, node: str) -> str:
        """What runs on a node, in words; empty: nothing does."""
        job = self.busy(node)
        return f"job {job.id} of {fold(job.nodes)}" if job is not None else ""

    def _runs(self, node: SchedulerNode) -> bool:
        machine = self._machines[node.name]
        return machine.stage == "running" and machine.starts == node.boot

    # ---- what is asked and told

    def drain(self, nodes: Iterable[str], reason: str, set_by: str) -> None:
        """Begin no new jobs on these nodes."""
        for name in nodes:
            node = self.nodes[name]
            self._check(node, "drain", set_by)
            node.drained, node.reason, node.set_by = True, reason, set_by

    def resume(self, nodes: Iterable[str], by: str) -> None:
        """Take nodes back into service."""
        for name in nodes:
            node = self.nodes[name]
            self._check(node, "resume", by)
            self._look(node, self.world.now)  # its daemon has registered since it was booted
            node.drained, node.reason, node.set_by = False, "", ""
            if self._hears(node):
                node.down = False

    def _check(self, node: SchedulerNode, what: str, by: str) -> None:
        if by == KEDGE and what == "resume":
            self.returns(node.name)
        if by == KEDGE and node.drained and not node.reason.startswith(OURS):
            self.overruled(node.name, what, node.reason)

    def requeue(self, jobs: Sequence[str]) -> None:
        """End these jobs; they begin anew elsewhere."""
        for job in {node.job.id: node.job for node in self.nodes.values() if node.job}.values():
            if job.id in jobs:
                self._lose(job)

    def carry(self, nodes: Iterable[str], features: Sequence[str]) -> None:
        """Have nodes offer these features."""
        for name in nodes:
            self.nodes[name].features = tuple(features)

    # ---- time

    def _tick(self) -> None:
        now = self.world.now
        self.world.after(TICK_S, self._tick)
        passed_s, self._ticked_at = now - self._ticked_at, now
        for node in self.nodes.values():
            self._look(node, now)
            if node.job is not None:
                self.tally.busy_s += passed_s
        self._begin_jobs(now)

    def _hears(self, node: SchedulerNode) -> bool:
        machine = self._machines[node.name]
        return machine.stage == "running" and not machine.frozen

    def _look(self, node: SchedulerNode, now: float) -> None:
        machine, job = self._machines[node.name], node.job
        if self._hears(node):
            node.heard_at = now
            if machine.starts != node.boot:  # it was booted: whatever ran there is gone
                if job is not None:
                    self._lose(job)
                node.boot = machine.starts
                if not node.drained:
                    node.down, node.reason = True, "Node unexpectedly rebooted"
        elif not node.down and now - node.heard_at > SILENT_S:
            node.down, node.reason = True, node.reason or "Not responding"
            if job is not None:
                self._lose(job)
        if node.job is not None and now >= node.job.ends_at and self._hears(node):
            self._end(node.job)
            self.tally.done += 1

    def _end(self, job: Job) -> None:
        for name in job.nodes:
            self.nodes[name].job = None

    def _lose(self, job: Job) -> None:
        self.tally.lost += 1
        self.tally.lost_s += (self.world.now - job.began_at) * len(job.nodes)
        self._end(job)

    def _begin_jobs(self, now: float) -> None:
        idle = [
            node for node in self.nodes.values()
            if node.job is None and node.state == "in_service" and self._hears(node)
        ]  # fmt: skip
        serving = sum(node.state == "in_service" for node in self.nodes.values())
        room = int(serving * self.mix.share) - (serving - len(idle))
        chance = self.chance
        chance.shuffle(idle)
        while room > 0 and idle:
            wanted = min(chance.randint(*self.mix.nodes), len(idle), room)
            taken, idle = idle[:wanted], idle[wanted:]
            room -= wanted
            lasts_s = chance.uniform(*self.mix.lasts_s)
            self._jobs += 1
            names = tuple(sorted(node.name for node in taken))
            job = Job(f"{self._jobs}", names, now, now + lasts_s, now + lasts_s * 1.5)
            self.tally.begun += 1
            for node in taken:
                node.job = job
