"""The lab's network namespace: make it, enter it, take it away."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from kedge.lib.errors import KedgeError

CLONE_NEWNET = 0x40000000
DIRECTORY = Path("/run/netns")


def path_of(namespace: str) -> Path:
    """The file that names the namespace, as ``ip netns`` keeps it."""
    return DIRECTORY / namespace


def exists(namespace: str) -> bool:
    """Whether the namespace is there and can be entered (its file is a mount of the kernel's)."""
    path = path_of(namespace)
    return path.exists() and path.stat().st_dev != DIRECTORY.stat().st_dev


def create(namespace: str) -> None:
    """Make the namespace unless it is there."""
    if not exists(namespace):
        path_of(namespace).unlink(missing_ok=True)
        _netns().create(namespace)


def remove(namespace: str) -> None:
    """Take the namespace away, if it is there; its links go with its last process."""
    if exists(namespace):
        _netns().remove(namespace)
    path_of(namespace).unlink(missing_ok=True)


def _netns() -> Any:
    # Not at the top: entering a namespace must start fast, and the library is large and untyped.
    from pyroute2 import netns  # pyright: ignore[reportMissingTypeStubs]

    return netns


def enter(namespace: str) -> None:
    """Move the calling thread (call it before there are others) into the namespace."""
    try:
        descriptor = os.open(path_of(namespace), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KedgeError(
            "lab.not_up",
            f"there is no network namespace {namespace}",
            next_step="Bring the lab up: kedge lab up FILE",
        ) from error
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise KedgeError(
                "lab.namespace",
                f"cannot enter the network namespace {namespace}",
                why=os.strerror(ctypes.get_errno()),
                next_step="Run it as root",
            )
    finally:
        os.close(descriptor)


def become(namespace: str, command: list[str]) -> None:
    """Replace this process by ``command`` in the namespace; raises OSError when it cannot."""
    enter(namespace)
    os.execvp(command[0], command)
