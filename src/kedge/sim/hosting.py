"""A sub-master that runs on a node of the cluster: it ends with the node's image, and begins with the next.

What it remembers lies on a disk of that node, which stays.
"""

from __future__ import annotations

from kedge.agent.place import RUNNING
from kedge.sim.head import Program
from kedge.sim.machine import SimulatedMachine


class Tenant:
    """Keeps a program down while its machine does not run an image."""

    def __init__(self, program: Program, machine: SimulatedMachine) -> None:
        self._program, self._machine = program, machine
        self._runs = True
        machine.staged = self._later
        self._look()

    def _later(self) -> None:
        self._machine.world.after(0.0, self._look)

    def _look(self) -> None:
        runs = self._machine.stage == RUNNING
        if runs == self._runs:
            return
        self._runs = runs
        if runs:
            self._program.let_run()
        else:
            self._program.keep_down()
            self._program.kill()
