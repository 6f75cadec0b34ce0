"""Room for images: whether an import fits, and one clear error where it does not, or did not."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from kedge.lib.errors import KedgeError, NotNow

NO_SPACE = "there is no space left for the image"
MAKE_ROOM = "Make room: kedge image prune --unused (--dry-run shows what can go); or enlarge the file system"
SPARE_BYTES = 256 << 20
"""What an import leaves to the log and the database."""


def refuse_without_room(state_dir: Path, reference: str, pulled_bytes: int) -> None:
    """Raise `KedgeError` where layers of ``pulled_bytes`` do not fit in. They lie there twice for a moment:
    as they came, and as squashfs, which is about as large."""
    needed, free = 2 * pulled_bytes + SPARE_BYTES, shutil.disk_usage(state_dir).free
    if pulled_bytes and free < needed:
        raise NotNow(
            "image.no_space", NO_SPACE, where=reference,
            why=f"it takes about {_size(needed)}, and {_size(free)} are free at {state_dir}",
            next_step=MAKE_ROOM,
        )  # fmt: skip


@contextmanager
def saying_when_full(state_dir: Path, reference: str) -> Generator[None, None, None]:
    """Errors of a full disk, of the system's or of a program's that found it so, become the one that says
    so. No node is to blame for it: a step that needs the image waits."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _full(state_dir, reference, error.strerror or str(error)) from error
    except KedgeError as error:
        full = error.code == "image.no_space" or "no space left" in error.why.lower()
        if isinstance(error, NotNow) or not full:
            raise
        raise _full(state_dir, reference, f"{error.what}: {error.why}") from error


def _full(state_dir: Path, reference: str, why: str) -> NotNow:
    free = shutil.disk_usage(state_dir).free
    why = f"{why}; {_size(free)} are free at {state_dir} now"
    return NotNow("image.no_space", NO_SPACE, where=reference, why=why, next_step=MAKE_ROOM)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
