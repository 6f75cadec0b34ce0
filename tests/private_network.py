"""A network namespace of a test's own: bridge ``prov`` (10.77.0.1/16) and a wire ``c0`` into it.

Only the calling thread, and what it starts, moves into the namespace; it goes with the last of them.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

COMMANDS = """\
link set lo up
link add prov type bridge
addr add 10.77.0.1/16 dev prov
link add c1 type veth peer name c0
link set c1 master prov up
link set c0 up
link set prov up
"""


@contextmanager
def private_network(extra: str = "") -> Iterator[None]:
    """Move this thread into a fresh namespace, and back at the end."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if LIBC.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare: network namespaces need root")
        try:
            commands = (COMMANDS + extra).encode()
            subprocess.run(["ip", "-batch", "-"], input=commands, check=True)
            yield
        finally:
            if LIBC.setns(before, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(before)


def can_make_networks() -> bool:
    """Whether this machine lets us: root, and the programs."""
    return os.geteuid() == 0 and Path("/sbin/ip").exists()
