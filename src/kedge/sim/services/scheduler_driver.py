"""Kedge's way to the simulated scheduler: a driver as its module takes it, over the simulated network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from typing import cast

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.modules.scheduler.driver import OURS, Cluster, Job, Seen
from kedge.sim.services.scheduler import KEDGE, SchedulerNode, SimulatedScheduler
from kedge.sim.world.clock import WALL_BEGAN_AT
from kedge.sim.world.loop import Loop
from kedge.sim.world.network import Network

END = "scheduler"
LATE = "root, late"
"""Under which name a command is carried out that Kedge has given up on: it answers for it no more."""
TIMEOUT_S = 30.0
BUSY = "Every node counts as busy until it answers"


class SimulatedDriver:
    """A `kedge.modules.scheduler.driver.Driver` for it, over the simulated network."""

    def __init__(self, scheduler: SimulatedScheduler, network: Network) -> None:
        self._scheduler = scheduler
        self._network = network

    def read(self) -> Cluster:
        self._reach()
        return Cluster({name: _seen(node) for name, node in self._scheduler.nodes.items()})

    def drain(self, nodes: Sequence[str], reason: str) -> None:
        self._tell(lambda who, names: self._scheduler.drain(names, reason, who), nodes)

    def resume(self, nodes: Sequence[str]) -> None:
        self._tell(lambda who, names: self._scheduler.resume(names, who), nodes)

    def requeue(self, jobs: Sequence[str]) -> None:
        running = {node.job.id for node in self._scheduler.nodes.values() if node.job is not None}
        self._tell(lambda who, names: self._scheduler.requeue(jobs), lacks=set(jobs) - running)

    def carry(self, nodes: Sequence[str], features: Sequence[str]) -> None:
        self._tell(lambda who, names: self._scheduler.carry(names, features), nodes)

    def _tell(
        self,
        carry_out: Callable[[str, Sequence[str]], None],
        nodes: Sequence[str] = (),
        lacks: Set[str] = frozenset(),
    ) -> None:
        """``lacks`` are jobs that it does not have."""
        self._reach()
        if strange := lacks | (set(nodes) - self._scheduler.nodes.keys()):
            raise KedgeError(
                "scheduler.refused", f"the scheduler does not know {', '.join(sorted(strange))}",
                next_step="Look at it: kedge scheduler status",
            )  # fmt: skip
        late_s = self._scheduler.ills.late_s
        if not late_s:
            carry_out(KEDGE, nodes)
            return
        loop, world = cast("Loop", asyncio.get_running_loop()), self._scheduler.world
        loop.takes_in_thread(TIMEOUT_S)
        after_s = TIMEOUT_S + world.streams("scheduler").uniform(0.0, late_s)
        world.after(after_s, lambda: carry_out(LATE, self._of_no_person(nodes)))
        raise _silent()

    def _of_no_person(self, nodes: Sequence[str]) -> list[str]:
        """Without those that a person drained meanwhile: nothing can spare these but the scheduler."""
        known = self._scheduler.nodes
        return [n for n in nodes if not known[n].drained or known[n].reason.startswith(OURS)]

    def _reach(self) -> None:
        """Take the time that a call takes; raises `KedgeError` where none comes through."""
        loop, ills = cast("Loop", asyncio.get_running_loop()), self._scheduler.ills
        trip_s = self._network.round_trip_s(loop.end, END)
        if trip_s is None or ills.silent:
            loop.takes_in_thread(TIMEOUT_S)
            raise _silent()
        loop.takes_in_thread(trip_s + 0.05 + ills.slow_s)
        if ills.refuses:
            raise KedgeError(
                "scheduler.refused", "the scheduler refuses the credentials", next_step=BUSY
            )


def _silent() -> KedgeError:
    return KedgeError("scheduler.silent", "the scheduler does not answer", next_step=BUSY)


def _seen(node: SchedulerNode) -> Seen:
    jobs: tuple[Job, ...] = ()
    if node.job is not None:
        ends_at = WALL_BEGAN_AT + node.job.limit_at
        jobs = (Job(node.job.id, ends_at, fold(node.job.nodes)),)
    reason = (
        node.reason if node.drained else ""
    )  # what it says of a node by itself is nobody's word
    return Seen(node.state, reason, node.set_by, node.features, jobs)
