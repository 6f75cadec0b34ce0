"""Whether the state directory has space, and its secrets are for the owner only."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kedge.cli.checks.finding import Finding, bad, good, note

if TYPE_CHECKING:
    from kedge.master.process.settings import Settings

MEND = "kedge image prune --unused"
LEAST_BYTES = 2_000_000_000
SMALL_BYTES = 10_000_000_000


def check_space(state_dir: Path) -> Finding:
    """Free space where images will lie."""
    place = state_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    words = f"{free / 1e9:.1f} GB are free at {place}"
    if free < LEAST_BYTES:
        return bad("space", words, f"{MEND}, or set state_dir to a larger file system")
    if free < SMALL_BYTES:
        return note("space", f"{words}: enough for a few images", MEND)
    return good("space", words)


def check_modes(settings: Settings) -> Iterator[Finding]:
    """State directory, token and secrets: there, and readable by their owner only."""
    state_dir = settings.state_dir
    if not state_dir.is_dir():
        yield bad("state directory", f"{state_dir} is missing", "kedge init")
        return
    if not os.access(state_dir, os.W_OK):
        yield bad(
            "state directory", f"{state_dir} cannot be written by this user", "sudo kedge ..."
        )
    if stat.S_IMODE(state_dir.stat().st_mode) & 0o022:
        yield bad("state directory", f"others can write {state_dir}", f"chmod go-w {state_dir}")
    for name, make in (("api.token", "kedge init"), ("secrets.yaml", "kedge secret set bmc")):
        yield _private(state_dir / name, make)
    yield from _database(state_dir / "kedge.db")


def _private(path: Path, make: str) -> Finding:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return note("secrets", f"{path} is not there yet", make)
    except OSError as error:
        return note("secrets", f"{path} cannot be looked at: {error.strerror}", "sudo kedge doctor")
    if mode & 0o077:
        return bad("secrets", f"others can read {path} ({mode:04o})", f"chmod 600 {path}")
    return good("secrets", f"only its owner can read {path}")


def _database(path: Path) -> Iterator[Finding]:
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield bad(
            "secrets", f"others can read {path}, which holds nodes' keys", f"chmod 600 {path}"
        )
