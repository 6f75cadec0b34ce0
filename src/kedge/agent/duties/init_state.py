"""How far the image's init has come: read from systemd over its private socket, or from process 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from kedge.agent.dbus import MANAGER, SYSTEMD, Bus

_SOCKET = "run/systemd/private"
_TIMEOUT_S = 3.0
_MULTI_USER = f"{SYSTEMD}/unit/multi_2duser_2etarget"
_UNIT = "org.freedesktop.systemd1.Unit"
_FAILED_MAX = 50
_WAITS_MAX = 10


class InitState(NamedTuple):
    """``state`` in systemd's words (starting, running, degraded, maintenance, stopping) or ``none``;
    ``reached``: the system is up; ``failed``: names of failed units; ``waits``: of those being started."""

    state: str
    reached: bool
    failed: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()


def read_systemd(process_1: Path = Path("/proc/1/root")) -> InitState:
    """Ask systemd; while it does not answer it counts as starting."""
    try:
        with Bus(str(process_1 / _SOCKET), _TIMEOUT_S) as bus:
            state = str(bus.get(SYSTEMD, MANAGER, "SystemState"))
            reached = state in ("running", "degraded")
            if not reached and state == "starting":
                reached = bus.get(_MULTI_USER, _UNIT, "ActiveState") == "active"
            failed: list[Any] = []
            if bus.get(SYSTEMD, MANAGER, "NFailedUnits"):
                failed = bus.call(SYSTEMD, MANAGER, "ListUnitsFiltered", ["failed"])[0]
            names = sorted(str(unit[0]) for unit in failed)
            waits = () if reached else _being_started(bus)
            return InitState(state, reached, tuple(names[:_FAILED_MAX]), waits)
    except OSError:
        return InitState("starting", False)


def _being_started(bus: Bus) -> tuple[str, ...]:
    """The units that systemd is busy with; others only wait for them."""
    jobs: list[Any] = bus.call(SYSTEMD, MANAGER, "ListJobs")[0]
    return tuple(sorted(str(job[1]) for job in jobs if job[3] == "running"))[:_WAITS_MAX]


def read_other(process_1: Path = Path("/proc/1/root")) -> InitState:
    """Another init counts as up once the initramfs is gone and process 1 is its own program."""
    gone = not (process_1 / "etc/kedge/udhcpc").exists()
    return InitState("running" if gone else "starting", gone)
