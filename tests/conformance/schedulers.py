"""What the suite of schedulers' drivers needs of a scheduler: a few idle nodes, jobs, and a person's hand.

To bring another scheduler: a class like those below, and its name in `BENCHES` with what starts it.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, cast
from unittest import mock

from in_world import InWorld, Process

from kedge.modules.scheduler import slurm_command, slurm_rest
from kedge.modules.scheduler.driver import Driver
from kedge.modules.scheduler.slurm_command import Commands
from kedge.modules.scheduler.slurm_rest import Endpoint, Rest
from kedge.sim.services.scheduler import Job, JobMix, SimulatedScheduler
from kedge.sim.services.scheduler_driver import SimulatedDriver
from private_network import can_make_networks, private_network
from slurm_cluster import Slurm, can_run_slurm, slurm

JOB_LIMIT_S = 300
"""The time limit of the suite's jobs."""
SECRET = "eyWrong.Secret.Token"
IMPATIENT_S = 1.0


class Bench(Protocol):
    """One scheduler with idle nodes, of which nobody else knows."""

    driver: Driver
    nodes: Sequence[str]
    """At least six; they may have features of their own."""

    def reset(self) -> None:
        """No jobs; all nodes idle, in service, with the features they began with."""
        ...

    def submit(self, node: str, *, waits: bool = False) -> str:
        """A job of `JOB_LIMIT_S` for this node alone; it runs, unless the node takes none (``waits``)."""
        ...

    def runs(self, job: str) -> bool:
        """Whether a job runs."""
        ...

    def end_jobs(self) -> None:
        """All jobs have ended."""
        ...

    def drain_by_hand(self, node: str, reason: str) -> None:
        """What a person would do, past Kedge."""
        ...

    def now(self) -> float:
        """Seconds, by the clock on the wall."""
        ...

    def asked(self) -> int:
        """How many requests the driver has made until now."""
        ...

    def silent(self) -> AbstractContextManager[None]:
        """It takes requests and answers none."""
        ...

    def stranger(self) -> Driver | None:
        """A driver with `SECRET` in the place of its right credentials; None where it needs none."""
        ...


# --- Slurm ---------------------------------------------------------------------------------------

NETWORK = "link add eth0 type veth peer name eth1\naddr add 10.99.0.1/24 dev eth0\n" + (
    "link set eth0 up\nlink set eth1 up\n"  # slurmrestd wants an interface besides lo
)


class OnSlurm:
    """A real Slurm, by its commands."""

    def __init__(self, batch: Slurm) -> None:
        self.batch, self.nodes = batch, batch.names
        counter = batch.folder / "counted"
        counter.write_text(f'#!/bin/sh\necho >> {batch.folder}/count\nexec "$@"\n')
        counter.chmod(0o755)
        self.driver: Driver = Commands(str(batch.conf), (str(counter), *batch.prefix))

    def reset(self) -> None:
        self.end_jobs()
        for name in self.nodes:
            self.batch.run("scontrol", "update", f"nodename={name}",
                           "features=fast,big", "activefeatures=fast,big")  # fmt: skip
            if any(word in self.batch.shown(name) for word in ("DRAIN", "DOWN")):
                self.batch.run("scontrol", "update", f"nodename={name}", "state=resume")

    def submit(self, node: str, *, waits: bool = False) -> str:
        if not waits:
            return self.batch.submit(node, JOB_LIMIT_S)
        words = ("sbatch", "--parsable", "-o", "/dev/null", "-D", "/", "-t", "5", "-w", node)
        return self.batch.run(*words, f"--wrap=sleep {JOB_LIMIT_S}")

    def runs(self, job: str) -> bool:
        return self.batch.job(job) == "RUNNING"

    def end_jobs(self) -> None:
        self.batch.run("scancel", "-u", "root")
        self._until(lambda: not self.batch.run("squeue", "-h"))

    def drain_by_hand(self, node: str, reason: str) -> None:
        self.batch.run("scontrol", "update", f"nodename={node}", "state=drain", f"reason={reason}")

    def now(self) -> float:
        return time.time()

    def asked(self) -> int:
        count = self.batch.folder / "count"
        return len(count.read_text().splitlines()) if count.exists() else 0

    @contextmanager
    def silent(self) -> Iterator[None]:
        processes = [self.batch.processes[name] for name in ("slurmctld", "slurmrestd")]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            with mock.patch.object(slurm_command, "COMMAND_S", IMPATIENT_S):
                yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    def stranger(self) -> Driver | None:
        return None  # munge knows the user; there is nothing to say

    @staticmethod
    def _until(true: Callable[[], object]) -> None:
        end = time.monotonic() + 30.0
        while not true():
            assert time.monotonic() < end
            time.sleep(0.1)


class OnSlurmRest(OnSlurm):
    """The same Slurm by slurmrestd."""

    def __init__(self, batch: Slurm) -> None:
        super().__init__(batch)
        self._tokens, self._token = 0, batch.token()
        endpoint = Endpoint(batch.url, "root", self._give_token)
        self.driver = Rest(endpoint, 0, self.driver)

    def _give_token(self) -> str:
        self._tokens += 1  # one with each request
        return self._token

    def asked(self) -> int:
        return self._tokens + super().asked()

    @contextmanager
    def silent(self) -> Iterator[None]:
        with mock.patch.object(slurm_rest, "CALL_S", IMPATIENT_S), super().silent():
            yield

    def stranger(self) -> Driver | None:
        return Rest(Endpoint(self.batch.url, "root", lambda: SECRET))


@contextmanager
def real_slurm() -> Iterator[Slurm]:
    """One Slurm for both ways to speak to it."""
    with private_network(NETWORK), slurm() as batch:
        yield batch


def why_no_slurm() -> str:
    """Why there can be none here; empty: it can."""
    able = can_make_networks() and can_run_slurm()
    return "" if able else "needs root and Debian's Slurm"


# --- the simulator's -----------------------------------------------------------------------------


@dataclass
class Running:
    """A machine that runs, as far as the simulated scheduler wants to know."""

    stage: str = "running"
    frozen: bool = False
    starts: int = 1


class Simulated:
    """The simulator's scheduler."""

    def __init__(self) -> None:
        self.nodes = [f"n{number}" for number in range(1, 7)]
        self._process = Process()
        self._world = self._process.world
        self._scheduler = SimulatedScheduler(
            self._world, {name: Running() for name in self.nodes}, JobMix(share=0.0)
        )
        self._ids = itertools.count(1)
        driver = SimulatedDriver(self._scheduler, self._process.network)
        self.driver = cast("Driver", InWorld(self._process, driver))

    def reset(self) -> None:
        self.end_jobs()
        self._scheduler.resume(self.nodes, "test")
        self._scheduler.carry(self.nodes, ("fast", "big"))

    def submit(self, node: str, *, waits: bool = False) -> str:
        now, job = self._world.now, str(next(self._ids))
        if not waits:
            limit_at = now + JOB_LIMIT_S
            self._scheduler.nodes[node].job = Job(job, (node,), now, limit_at, limit_at)
        return job

    def runs(self, job: str) -> bool:
        jobs = (node.job for node in self._scheduler.nodes.values())
        return job in [one.id for one in jobs if one is not None]

    def end_jobs(self) -> None:
        for node in self._scheduler.nodes.values():
            node.job = None

    def drain_by_hand(self, node: str, reason: str) -> None:
        self._scheduler.drain([node], reason, "alice")

    def now(self) -> float:
        return self._process.clock.wall()

    def asked(self) -> int:
        return self._process.calls

    @contextmanager
    def silent(self) -> Iterator[None]:
        self._scheduler.ills.silent = True
        try:
            yield
        finally:
            self._scheduler.ills.silent = False

    def stranger(self) -> Driver | None:
        other = Simulated()
        other._scheduler.ills.refuses = True
        return other.driver
