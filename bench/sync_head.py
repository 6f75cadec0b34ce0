"""A parent as the master runs it, in a process of its own: the production link, socket loop and database.

Only what the engine would do with the events is left out: they are counted. Commands come on stdin, one
word a line; each is answered with one line of JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import sys
import time
from collections import Counter
from pathlib import Path

from kedge.master.agents.link import Link
from kedge.master.agents.permits import BootPermit
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process.garbage import collect_seldom, lives_long
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.sync.events import ParentEvent


def token(name: str) -> bytes:
    """The boot token of a node of the bench."""
    return hashlib.sha256(name.encode()).digest()


class _Host(Host):
    """Says which port the kernel chose."""

    port = 0

    def open_socket(self, address: str, port: int) -> socket.socket:
        opened = super().open_socket(address, port)
        self.port = opened.getsockname()[1]
        return opened


class Head:
    """The link, and a count of what it tells."""

    def __init__(self, state_dir: Path, heartbeat_s: float) -> None:
        host = _Host()
        settings = Settings(
            state_dir,
            state_dir / "api.sock",
            sync_address="127.0.0.1",
            sync_port=0,
            heartbeat_s=heartbeat_s,
        )
        self.counts: Counter[str] = Counter()
        self.host = host
        self.last_at = 0.0
        self.store = host.open_store(state_dir)
        self.link = Link(settings, LateWrites(self.store, {}), host, 1, self._told)

    def _told(self, event: ParentEvent) -> None:
        self.counts[type(event).__name__] += 1
        self.last_at = time.time()

    def answer(self, words: list[str]) -> object:
        """What a command leads to."""
        match words:
            case ["admit", prefix, count, configured_bytes]:
                for number in range(int(count)):
                    name = f"{prefix}{number}"
                    self.link.admit(BootPermit(name, 1, number + 1, token(name), time.time()))
                    self.link.put(name, "node", b"c" * int(configured_bytes))
                lives_long(int(count))
                return {}
            case ["counts"]:
                usage = Path("/proc/self/status").read_text()
                peak = next(row for row in usage.splitlines() if row.startswith("VmHWM"))
                return {
                    **self.counts,
                    "last_at": self.last_at,
                    "peak_mb": int(peak.split()[1]) // 1024,
                }
            case ["configure", prefix, count, text]:
                for number in range(int(count)):
                    self.link.put(f"{prefix}{number}", "change", text.encode())
                return {}
            case _:
                raise SystemExit(f"sync_head: no such command: {words}")


async def main() -> None:
    """Serve until stdin ends."""
    collect_seldom()
    head = Head(Path(sys.argv[1]), float(sys.argv[2]))
    await head.link.open()
    print(json.dumps({"port": head.host.port, "pid": os.getpid()}), flush=True)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def command() -> None:
        line = sys.stdin.readline()
        if line:
            print(json.dumps(head.answer(line.split())), flush=True)
        else:
            loop.remove_reader(sys.stdin)
            ended.set()

    loop.add_reader(sys.stdin, command)
    await ended.wait()
    head.link.close()
    head.store.close()


if __name__ == "__main__":
    asyncio.run(main())
