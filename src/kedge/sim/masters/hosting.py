"""A sub-master that runs on a node of the cluster: it ends with the node's image, and begins with the next.

What it remembers lies on a disk of that node, which stays, or (``diskless``) is gone with the boot. A join
file comes from the master, by the node's agent.
"""

from __future__ import annotations

from typing import Any

from kedge.agent.place import RUNNING
from kedge.sim.machines.machine import SimulatedMachine
from kedge.sim.masters.head import Program
from kedge.sim.masters.tree import keep_join
from kedge.stores.sqlite import SqliteStore


class Tenant:
    """Keeps a program down while its machine does not run an image, or nobody has admitted it."""

    def __init__(self, program: Program, machine: SimulatedMachine, *, diskless: bool) -> None:
        self._program, self._machine, self._diskless = program, machine, diskless
        self._runs = self._admitted = False
        program.boot_id = lambda: str(machine.facts()["boot_id"])
        program.keep_down()
        machine.staged, machine.admitted = self._later, self._admit

    def _later(self) -> None:
        self._machine.world.after(0.0, self._look)

    def _look(self) -> None:
        """Begin or end with the machine's image."""
        runs = self._machine.stage == RUNNING
        if runs == self._runs:
            return
        self._runs = runs
        if self._admitted and runs:
            self._program.let_run()
        elif self._admitted:
            self._program.keep_down()
            self._program.kill()
            self._admitted = not self._diskless

    def _admit(self, told: dict[str, Any]) -> None:
        """A join file has come: it begins with that, anew if it runs."""
        keep_join(self._program, told)
        if self._admitted:
            self._program.kill()
            return
        self._admitted = True
        if self._diskless:
            self._program.store = SqliteStore(":memory:")
        if self._runs:
            self._program.let_run()
