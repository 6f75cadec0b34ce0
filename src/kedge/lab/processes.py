"""Which processes belong to a lab: told by a mark in their environment, never by a mere pid.

Every process that a lab starts carries ``KEDGE_LAB_PROCESS=<lab>/<role>``. The mark is what makes
``down`` exact: it finds everything of this lab and nothing else, even when the lab's own records
were lost. A pid is always held together with its start time, so a reused pid is not mistaken.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

MARK = "KEDGE_LAB_PROCESS"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process(msgspec.Struct, frozen=True):
    """One process: its pid and the tick, since the machine's boot, at which it started."""

    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return _look(self.pid) == self

    def uptime_s(self) -> float:
        """Seconds since it started."""
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - self.start_ticks / TICKS_PER_S)

    def memory_bytes(self) -> int:
        """Resident memory; 0 when it has ended."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(fields[1]) * PAGE_BYTES

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to exactly this process; False when it has already ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


def _look(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def look(pid: int) -> Process | None:
    """The live process of that pid, or None."""
    return _look(pid)


def mark(lab: str, role: str) -> dict[str, str]:
    """The environment for a process of ``lab``: a plain one, with the mark."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **kept, MARK: f"{lab}/{role}"}


def find(lab: str, role: str | None = None) -> dict[str, Process]:
    """Every live process of ``lab``, or those of one role, as role -> process."""
    prefix = f"{MARK}={lab}/".encode()
    found: dict[str, Process] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        for variable in environment.split(b"\0"):
            if variable.startswith(prefix):
                process = _look(int(entry.name))
                its_role = variable.removeprefix(prefix).decode(errors="replace")
                if process is not None and role in (None, its_role):
                    key = its_role if its_role not in found else f"{its_role}#{process.pid}"
                    found[key] = process
    return found


def end(processes: Iterable[Process], grace_s: float) -> list[Process]:
    """Terminate ``processes``, kill those that outlive the grace; returns any that still live."""
    rest = [process for process in processes if process.send(signal.SIGTERM)]
    for process in rest:
        process.send(signal.SIGCONT)  # one that a fault has stopped cannot take its SIGTERM
    rest = _wait(rest, grace_s)
    rest = [process for process in rest if process.send(signal.SIGKILL)]
    return _wait(rest, 5.0)


def _wait(processes: list[Process], timeout_s: float) -> list[Process]:
    deadline = time.monotonic() + timeout_s
    rest = [process for process in processes if process.alive()]
    while rest and time.monotonic() < deadline:
        time.sleep(0.02)
        rest = [process for process in rest if process.alive()]
    return rest


def in_namespace(inode: int) -> list[Process]:
    """Every live process whose network namespace has that inode."""
    found: list[Process] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "ns" / "net").stat().st_ino != inode:
                continue
        except OSError:
            continue
        process = _look(int(entry.name))
        if process is not None:
            found.append(process)
    return found
