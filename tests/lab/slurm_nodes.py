"""The four machines that the labs with a real Slurm have, and jobs that end when a test says so."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from cluster import Cluster, Row

from kedge.lab.description import Bmc, Machine

NODES = ("n1", "n2", "n3", "n4")
MACHINES = tuple(
    Machine(
        name=f"n{number}",
        memory_mb=1000,
        mac=f"52:54:00:77:00:0{number}",
        bmc=Bmc(protocol="ipmi", address=f"10.78.0.1{number}"),
    )
    for number in range(1, 5)
)
HEAD = "10.77.0.1"
ENDS_WHEN_HEARD = (
    "exec bash -c 'until (exec 3<>/dev/tcp/{head}/{port}) 2>/dev/null; do sleep 2; done'"
)
LISTEN = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    server.settimeout(60)
    server.accept()
"""


class Slurm(Protocol):
    """Where Slurm's commands are run."""

    cluster: Cluster

    def run(self, *command: str) -> str:
        """A command of Slurm's; what it said."""
        ...


def in_service(rows: dict[str, Row], *nodes: str) -> bool:
    """Whether these nodes are as configured and take jobs."""
    return all(
        rows[n]["phase"] == "converged" and rows[n]["symbols"]["scheduler.state"] == "in_service"
        for n in nodes
    )


class Job:
    """A job that runs on one node until the test ends it, from within: it comes to its own end."""

    ports = iter(range(7700, 7800))

    def __init__(self, slurm: Slurm, node: str, limit_min: int) -> None:
        self._slurm, self._port = slurm, next(self.ports)
        wrap = ENDS_WHEN_HEARD.format(head=HEAD, port=self._port)
        self.number = slurm.run(
            "sbatch", "--parsable", "-D", "/", "-o", "/dev/null", "-t", str(limit_min), "-w", node,
            f"--wrap={wrap}",
        )  # fmt: skip
        assert self.number.isdigit(), self.number
        until(lambda: self.state == "RUNNING", f"job {self.number} on {node} to run", 60)

    @property
    def state(self) -> str:
        """Its state in Slurm's words."""
        shown = self._slurm.run("scontrol", "-o", "show", "job", self.number)
        return shown.partition("JobState=")[2].partition(" ")[0]

    def end(self) -> None:
        """Let it come to its end."""
        command = [sys.executable, "-c", LISTEN, HEAD, str(self._port)]
        self._slurm.cluster.lab.exec(command, timeout_s=70)
        until(lambda: self.state == "COMPLETED", f"job {self.number} to end", 60)


class Watch:
    """Looks at all nodes and jobs every second or two, from beside, and writes down what changes."""

    EVERY_S = 1.5

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm
        self._stop = threading.Event()
        self._seen: dict[str, str] = {}
        self.begun = time.monotonic()
        self.most_out = 0
        self.looks = 0
        self.capacity_s: dict[int, float] = {}
        """For how long so many nodes took jobs."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def tell(self, text: str) -> None:
        """Write a line of the log, with the time since the beginning."""
        print(f"{time.monotonic() - self.begun:6.0f} s  {text}", flush=True)

    def again(self) -> None:
        """Count anew."""
        self.most_out, self.looks, self.capacity_s = 0, 0, {}

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        before = time.monotonic()
        while not self._stop.wait(self.EVERY_S):
            nodes = _columns(self._slurm.run("sinfo", "-h", "-N", "-o", "%N %T"))
            jobs = _columns(self._slurm.run("squeue", "-h", "-o", "%i %T"))
            now = time.monotonic()
            if set(nodes) == set(NODES):
                out = sum(1 for state in nodes.values() if is_out(state))
                self.most_out = max(self.most_out, out)
                serving = len(nodes) - out
                self.capacity_s[serving] = self.capacity_s.get(serving, 0.0) + now - before
                self.looks += 1
            before = now
            seen = {**nodes, **{f"job {number}": state for number, state in jobs.items()}}
            told = [
                f"{what} {seen.get(what, 'gone')}"
                for what in sorted(self._seen.keys() | seen.keys())
                if self._seen.get(what) != seen.get(what)
            ]
            if told:
                self.tell("    " + ", ".join(told))
            self._seen = seen


def is_out(state: str) -> bool:
    """Whether a node in this state (of sinfo) takes no jobs."""
    return not state.rstrip("*+$@^-").startswith(("idle", "alloc", "mix", "comp"))


def _columns(text: str) -> dict[str, str]:
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 2}


def until(holds: Callable[[], object], what: str, most_s: float, every_s: float = 1.0) -> Any:
    """Wait until it holds; what it gave."""
    end = time.monotonic() + most_s
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, f"waited {most_s:.0f} s for {what}"
        time.sleep(every_s)
