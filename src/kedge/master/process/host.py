"""What a master takes from the machine it runs on: time, chance, its database, its socket, secrets.

Everything else in `kedge.master` is the same wherever it runs. The simulator brings a host of its own,
and so runs this very code in virtual time.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from kedge.core.engine.engine import Engine
from kedge.core.graph import Graph
from kedge.lib.errors import KedgeError
from kedge.master.process.clock import Clock
from kedge.master.process.command import Ran, run
from kedge.master.process.download import download
from kedge.stores.port import Store
from kedge.stores.sqlite import SqliteStore

RECEIVE_BUFFER_BYTES = 32 * 1024 * 1024


class Host:
    """This machine."""

    environment: Mapping[str, str] = os.environ
    has_threads = True
    """Whether threads beside the event loop run in the same time as it."""

    def __init__(self) -> None:
        self.clock = Clock()

    def boot_id(self) -> str:
        """The kernel's name for the present boot of this machine; empty where there is none."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""

    def random_bytes(self, count: int) -> bytes:
        """Unpredictable bytes, for tokens, keys and seeds."""
        return secrets.token_bytes(count)

    def random_number(self) -> int:
        """An unpredictable number of 64 bits."""
        return int.from_bytes(self.random_bytes(8), "big")

    def engine(self, graph: Graph, restart: int) -> Engine:
        """An engine without nodes."""
        return Engine(graph, seed=self.random_number(), restart=restart)

    def open_store(self, state_dir: Path) -> Store:
        """The cluster's database; raises `KedgeError`."""
        return SqliteStore(state_dir / "kedge.db")

    def free_bytes(self, place: Path) -> int:
        """How much room there is on the file system of a folder."""
        return shutil.disk_usage(place).free

    async def fetch(self, url: str, target: Path, most_bytes: int) -> None:
        """Write what ``url`` gives to a file; raises `KedgeError`, also where it is longer."""
        await download(url, target, most_bytes)

    async def run_command(
        self, words: Sequence[str], environment: Mapping[str, str], place: Path, log: Path
    ) -> Ran:
        """Run a command of the site (a gate) to its end."""
        return await run(words, environment, place, log)

    def open_socket(self, address: str, port: int) -> socket.socket:
        """A bound UDP socket for the state sync; raises `KedgeError` when the port is taken."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.bind((address, port))
        except OSError as error:
            sock.close()
            raise KedgeError(
                "sync.port", f"cannot listen on UDP {address}:{port}", why=str(error),
                next_step=f"See who has it with: ss -ulpn 'sport = :{port}'",
            ) from error  # fmt: skip
        grow_receive_buffer(sock)
        sock.setblocking(False)
        return sock


def grow_receive_buffer(sock: socket.socket) -> int:
    """Ask for a buffer that survives every node speaking at once; returns what the kernel gave."""
    for option in (33, socket.SO_RCVBUF):  # 33: SO_RCVBUFFORCE, which needs CAP_NET_ADMIN
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER_BYTES)
            break
        except OSError:
            continue
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
