"""Keep immutable files under the digest of their content: `<state>/blobs/sha256/<hex>`.

A blob appears whole or not at all, whatever dies meanwhile, and is never written again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from kedge.lib.errors import KedgeError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Blob(msgspec.Struct, frozen=True):
    """A stored file: its digest as ``sha256:<hex>`` and its size."""

    blob: str
    size_bytes: int


def blob_path(state_dir: Path, digest: str) -> Path:
    """Where a blob is, or would be."""
    if not DIGEST.fullmatch(digest):
        raise KedgeError("image.bad_digest", f"'{digest[:80]}' is not sha256: and 64 hex digits")
    return state_dir / "blobs" / "sha256" / digest.removeprefix("sha256:")


def has_blob(state_dir: Path, blob: Blob) -> bool:
    """Whether it is there in full length (its content is checked by `verify_blob`, and on the node)."""
    try:
        return blob_path(state_dir, blob.blob).stat().st_size == blob.size_bytes
    except FileNotFoundError:
        return False


def file_digest(path: Path) -> str:
    """``sha256:<hex>`` of a file."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def file_sha512(path: Path) -> str:
    """SHA-512 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def verify_blob(state_dir: Path, digest: str) -> None:
    """KedgeError ``image.blob_corrupt`` or ``image.blob_missing`` unless it is what its name says."""
    path = blob_path(state_dir, digest)
    try:
        actual = file_digest(path)
    except FileNotFoundError:
        raise KedgeError(
            "image.blob_missing",
            "this file is gone",
            where=str(path),
            next_step="Import the image again: kedge image import REFERENCE",
        ) from None
    if actual != digest:
        raise KedgeError(
            "image.blob_corrupt",
            "this file is not what its name says",
            where=str(path),
            why=f"its digest is {actual}",
            next_step="Look at the disk; then delete the file and import the image again",
        )


def place_blob(state_dir: Path, source: Path, wanted: str = "") -> Blob:
    """Move a finished file (of the same file system) to its place; raises `KedgeError` where it does not
    have the digest that is ``wanted``."""
    digest = file_digest(source)
    if wanted and digest != wanted:
        raise KedgeError(
            "image.blob_corrupt",
            "a file came that is not what its name says",
            where=wanted,
            why=f"its digest is {digest}",
            next_step="It is fetched again",
        )
    target = blob_path(state_dir, digest)
    size_bytes = source.stat().st_size
    target.parent.mkdir(parents=True, exist_ok=True)
    source.chmod(0o444)
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)
    _sync_folder(target.parent)
    return Blob(digest, size_bytes)


def write_blob(state_dir: Path, content: bytes) -> Blob:
    """Store these bytes."""
    with work_folder(state_dir) as folder:
        part = folder / "blob"
        part.write_bytes(content)
        return place_blob(state_dir, part)


def write_file(path: Path, content: bytes) -> None:
    """Replace a small file in one step, so that a reader sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def work_folder(state_dir: Path) -> Generator[Path, None, None]:
    """A private folder on the blobs' file system that is gone afterwards, and locked meanwhile; its name
    says when it was made (`kedge.modules.image.keeping`)."""
    parent = state_dir / "cache" / "work"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"{int(time.time())}-") as name:
        lock = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(lock)


def sweep_work(state_dir: Path, now_s: float, min_age_s: float = 60) -> None:
    """Remove the work folders of processes that were killed: nobody holds their lock any more."""
    for folder in (state_dir / "cache" / "work").glob("*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if now_s - os.fstat(lock).st_mtime >= min_age_s:  # a new one may not be locked yet
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
