"""What this process used so far: processor and memory."""

from __future__ import annotations

import gc
import time
from pathlib import Path

KIB = 1024


def resident_bytes(peak: bool = False) -> int:
    """Resident memory: now, or at most since `forget_peak`."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * KIB
    raise AssertionError(name)


def forget_peak() -> None:
    """Begin to measure the peak of memory anew; see proc(5), clear_refs."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


class Stopwatch:
    """Wall and processor seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def wall_s(self) -> float:
        return time.perf_counter() - self._wall

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._cpu
