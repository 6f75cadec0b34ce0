"""Living on from the initramfs into the running image, in one process: a second start of Python is spared.

The agent of layer0 forks when the image is ready. The parent ends, so that the initramfs hands over; the
child goes on as the agent of the running system, in a mount namespace of its own, so that nothing of its
root is left in the image's view. When the image's init is up it starts a unit that wakes the child (the pipe
`WAKE`: whoever writes into it has the agent look at the init), waits for its end (the pipe `ALIVE` closes)
and then starts an agent anew; the child joins the unit's control group, and shares its fate from then on.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from kedge.agent.syscalls import leave_mount_namespace
from kedge.lib.errors import KedgeError

ALIVE = "kedge/agent/alive"
WAKE = "kedge/agent/wake"
UNIT = "system.slice/kedge-agent.service"
_HIERARCHIES = ("", "systemd/", "unified/")
_LOOK_EVERY_S = 0.05
HAND_OVER_S = 120.0  # it takes some tenths of a second


def live_on(run: Path, process_1: Path) -> bool:
    """Fork; False in the parent. True in the child, once process 1 has the image's root.

    Raises `KedgeError` in the child when that does not come to pass.
    """
    _make_pipe(run / WAKE)
    _make_pipe(run / ALIVE)
    leave_mount_namespace()
    before = _identity(process_1)
    if os.fork():
        return False
    os.setsid()
    _hold(run / ALIVE)
    _log_to(run / "kedge" / "agent.log")
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-900")
    _wait_for_another(process_1, before)
    return True


def open_wake(run: Path) -> int | None:
    """A descriptor that becomes readable when somebody wakes the agent; None where nobody can."""
    with contextlib.suppress(OSError):
        return os.open(run / WAKE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    return None


def drain(descriptor: int) -> None:
    """Take out what was written to wake the agent."""
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, 4096)


def join_unit(process_1: Path) -> str:
    """Move this process into the control group of its unit; what went wrong, in words, or nothing."""
    why = ""
    for hierarchy in _HIERARCHIES:
        group = process_1 / "sys/fs/cgroup" / hierarchy / UNIT / "cgroup.procs"
        try:
            group.write_text(str(os.getpid()))
        except OSError as problem:
            why = str(problem)
        else:
            return ""
    return why


def _wait_for_another(process_1: Path, before: tuple[int, int]) -> None:
    until = time.monotonic() + HAND_OVER_S
    while _identity(process_1) == before:
        if time.monotonic() > until:
            raise KedgeError(
                "agent.no_hand_over", "the image's init was not started",
                why=f"process 1 still has the initramfs's root after {HAND_OVER_S:.0f} s",
                next_step="Look at the node's console; then switch the node off and on",
            )  # fmt: skip
        time.sleep(_LOOK_EVERY_S)


def _make_pipe(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)


def _hold(path: Path) -> None:
    """Keep the pipe open for as long as this process lives; not in the children that it forks."""
    held = [os.open(path, os.O_RDWR | os.O_CLOEXEC)]

    def let_go() -> None:
        # once: a child of a child has another file under this number
        if held:
            os.close(held.pop())

    os.register_at_fork(after_in_child=let_go)


def _log_to(path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    log, nothing = os.open(path, flags, 0o644), os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)


def _identity(process_1: Path) -> tuple[int, int]:
    found = process_1.stat()
    return found.st_dev, found.st_ino
