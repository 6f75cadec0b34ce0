"""The room on the file system of the state directory: when it becomes short, everybody who looks is told.

A full disk stops imports, and then the log and the database; there is time to act before.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path

from kedge.master.process.host import Host

LOW_BYTES = 2_000_000_000
LOOK_S = 30.0
NAME = "space"
MEND = "kedge image prune --unused"


def is_low(host: Host, state_dir: Path) -> bool:
    """Whether room is short."""
    return host.free_bytes(state_dir) < LOW_BYTES


async def watch_space(host: Host, state_dir: Path, failing: MutableMapping[str, str]) -> None:
    """Say in ``failing`` while room is short, for as long as it is not cancelled."""
    while True:
        look(host, state_dir, failing)
        await asyncio.sleep(LOOK_S)


def look(host: Host, state_dir: Path, failing: MutableMapping[str, str]) -> None:
    """Look once."""
    try:
        free = host.free_bytes(state_dir)
    except OSError as error:
        failing[NAME] = f"{state_dir} cannot be looked at: {error.strerror or error}"
        return
    if free >= LOW_BYTES:
        failing.pop(NAME, None)
        return
    failing[NAME] = f"only {free / 1e9:.1f} GB are free at {state_dir}. Make room: {MEND}"
