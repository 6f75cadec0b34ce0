"""What a process and its descendants use of processor and memory, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Usage:
    """The processor time since this object was made, and the peak of memory."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before_s = self._cpu_s()

    def since(self) -> dict[str, float]:
        """``peak_mb`` adds up the peaks of all processes that live now: no less than the true one."""
        peaks = {pid: _peak_mb(pid) for pid in _family(self._pid)}
        return {
            "cpu_s": round(self._cpu_s() - self._before_s, 2),
            "peak_mb": round(sum(peaks.values()), 1),
            "peak_mb_of_serve": round(peaks[self._pid], 1),
        }

    def _cpu_s(self) -> float:
        # Those that have ended count in their parents' sums.
        return sum(cpu_s(pid) for pid in _family(self._pid))


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and of its children that have ended."""
    return sum(map(int, _stat(pid)[11:15])) / TICKS_PER_S


def _stat(pid: int) -> list[str]:
    """The fields behind the name; see proc(5): the fourth is number 1 here."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _family(first: int) -> list[int]:
    family = [first]
    for pid in family:
        for task in Path(f"/proc/{pid}/task").iterdir():
            family += [int(child) for child in (task / "children").read_text().split()]
    return family


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
