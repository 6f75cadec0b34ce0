"""Mounts, loop devices and namespaces by system call: layer0 calls no program for them.

``ctypes`` is imported only inside the short-lived processes that need it, so that the agent itself
stays small. Numbers and structures: linux/mount.h, linux/loop.h, mount(2), setns(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4
MNT_DETACH = 2
CLONE_NEWNS = 0x00020000
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_READ_ONLY, _LO_FLAGS_AUTOCLEAR = 1, 4
_LOOP_CONFIG = struct.Struct("=II 5Q 4I 64s64s32s 2Q 8Q")  # struct loop_config, 304 bytes
_LOOP_TRIES = 20


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2); raises `OSError`."""
    _call("mount", source.encode(), target.encode(), kind.encode(), flags, options.encode())


def unmount(target: str) -> None:
    """Detach the mount at ``target`` (lazily: what uses it goes on); raises `OSError`."""
    _call("umount2", target.encode(), MNT_DETACH)


def enter_mount_namespace(pid: int) -> None:
    """Make this process see the mounts, and the root directory, of ``pid``'s mount namespace."""
    descriptor = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", descriptor, CLONE_NEWNS)
    finally:
        os.close(descriptor)


def leave_mount_namespace() -> None:
    """Give this process a mount namespace of its own, a copy of the one it is in; raises `OSError`."""
    unshare = getattr(os, "unshare", None)  # from Python 3.12 on; spares the agent ctypes' megabyte
    if unshare is None:
        _call("unshare", CLONE_NEWNS)
    else:
        unshare(CLONE_NEWNS)


def attach_loop(path: str) -> tuple[str, int]:
    """Attach a file read-only to a free loop device; it frees itself when unmounted.

    Returns the device's path and an open descriptor, to be closed once it is mounted.
    """
    with Path(path).open("rb") as image, Path("/dev/loop-control").open("rb") as control:
        for _ in range(_LOOP_TRIES):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_CLOEXEC)
            name = path.encode()[-63:]
            flags = _LO_FLAGS_READ_ONLY | _LO_FLAGS_AUTOCLEAR
            info = (0, 0, 0, 0, 0, 0, 0, 0, flags, name, b"", b"", 0, 0)
            config = _LOOP_CONFIG.pack(image.fileno(), 0, *info, *([0] * 8))
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
            except OSError as problem:
                os.close(device)
                if problem.errno != errno.EBUSY:
                    raise
            else:
                return f"/dev/loop{number}", device
    raise OSError(errno.EBUSY, "no loop device is free", path)


def _call(name: str, *arguments: object) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    converted = [
        ctypes.c_ulong(a) if isinstance(a, int) and name == "mount" else a for a in arguments
    ]
    if getattr(libc, name)(*converted) != 0:
        number = ctypes.get_errno()
        where = next((a.decode() for a in reversed(arguments[:2]) if isinstance(a, bytes)), name)
        raise OSError(number, os.strerror(number), where)
