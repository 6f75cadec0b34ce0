"""Order ``power.shutdown``: switch this node off, or start it again, the orderly way.

The arguments are ``{"action": "off"}`` (the default) or ``{"action": "reboot"}``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedge.agent.place import RUNNING, Place
from kedge.agent.process import Process, Tell
from kedge.lib.errors import KedgeError

NAME = "power.shutdown"
ACTIONS = ("off", "reboot")

_RB_AUTOBOOT, _RB_POWER_OFF = 0x01234567, 0x4321FEDC  # reboot(2)
_GRACE_S = 5.0


def carry_out(
    place: Place, args: dict[str, Any], record: Mapping[str, bytes], tell: Tell
) -> dict[str, Any]:
    """Check the order; the agent answers it first and then calls `shut_down`."""
    action = args.get("action", "off")
    if action not in ACTIONS:
        raise KedgeError(
            "power.bad_order", f"there is no way to shut down called {action!r}",
            why="valid are " + ", ".join(ACTIONS),
        )  # fmt: skip
    return {"shut_down": action}


def shut_down(place: Place, action: str) -> None:
    """Ask the image's init to go down; without one that can be asked, go down at once."""
    if place.stage == RUNNING:
        program = _program_of_process_1()
        if program == "systemd":
            # systemd(1): SIGRTMIN+4 starts poweroff.target, SIGRTMIN+5 starts reboot.target
            os.kill(1, signal.SIGRTMIN + (4 if action == "off" else 5))
            return
        if program == "busybox":
            os.kill(1, signal.SIGUSR2 if action == "off" else signal.SIGTERM)
            return
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGTERM)
        time.sleep(_GRACE_S)
    os.sync()
    Process(lambda tell: _reboot(_RB_POWER_OFF if action == "off" else _RB_AUTOBOOT)).close()


def _program_of_process_1() -> str:
    try:
        return Path("/proc/1/exe").readlink().name
    except OSError:
        return ""


def _reboot(command: int) -> None:
    import ctypes

    ctypes.CDLL(None, use_errno=True).reboot(ctypes.c_int(command - (command >> 31 << 32)))
