"""Say which blobs are in use by work that has not named them yet, and remove the others, safely beside it.

An import places or finds its blobs before it writes the record that names them. What it finds counts as
new from then on, and nothing goes that is as new as the oldest work under way: so no import can lose a
blob between finding and naming it, however long it takes, in this process or another.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from kedge.modules.image.blobs import Blob, blob_path, has_blob

LEAST_AGE_S = 600.0
"""Nothing younger goes, whatever is asked for: layer0's blobs wait that long for their record, at most."""


def use_blob(state_dir: Path, blob: Blob) -> bool:
    """Whether a blob is there in full length; if so it is as good as new, and nobody removes it soon."""
    with _alone(state_dir):
        if not has_blob(state_dir, blob):
            return False
        os.utime(blob_path(state_dir, blob.blob))
        return True


def drop_blob(state_dir: Path, path: Path, before_s: float) -> int | None:
    """Remove a blob that nobody has used since ``before_s``; its size, or None where it stays."""
    with _alone(state_dir):
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        if found.st_ctime >= before_s:
            return None
        path.unlink()
        return found.st_size


def work_begun_s(state_dir: Path) -> float:
    """When the oldest work that is under way began (seconds since the epoch); infinite where none is."""
    begun = float("inf")
    for folder in (state_dir / "cache" / "work").glob("*"):
        if _is_locked(folder):
            began = folder.name.partition("-")[0]
            begun = min(begun, float(began) if began.isdecimal() else 0.0)
    return begun


def _is_locked(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)


@contextmanager
def _alone(state_dir: Path) -> Generator[None, None, None]:
    """Nobody else uses or removes a blob at this moment."""
    folder = state_dir / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
