"""Keep one record for each imported image: `<state>/images/<hex of the manifest digest>.json`.

The record says which blobs a node needs; it is written last, so what it names is there. Blobs that no
record (of an image or of a layer0) names can be collected.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.modules.image.blobs import DIGEST, Blob, has_blob, write_file
from kedge.modules.image.keeping import LEAST_AGE_S, drop_blob, work_begun_s
from kedge.modules.image.layers import ConvertedLayer

_ANY_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")


class Kernel(msgspec.Struct, frozen=True):
    """The kernel that the firmware's loader starts: its version (as `uname -r` says) and its file."""

    version: str
    blob: str
    size_bytes: int


class ImageRecord(msgspec.Struct, frozen=True):
    """An imported image for one architecture. ``digest`` is that of its OCI manifest; ``layers`` are bottom
    first; ``modules`` is a compressed cpio for the initramfs; ``args`` are the kernel's arguments."""

    reference: str
    digest: str
    arch: str
    created: str
    size_bytes: int
    layers: tuple[ConvertedLayer, ...]
    kernel: Kernel
    modules: Blob
    args: tuple[str, ...]

    def as_json(self) -> dict[str, Value]:
        """The record as it is stored and as the API shows it."""
        return msgspec.to_builtins(self)

    def blobs(self) -> tuple[Blob, ...]:
        """Every file that a node of this image needs."""
        layers = (Blob(layer.blob, layer.size_bytes) for layer in self.layers)
        return (Blob(self.kernel.blob, self.kernel.size_bytes), self.modules, *layers)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed, or would remove."""

    blobs: tuple[str, ...]
    size_bytes: int


def write_record(state_dir: Path, record: ImageRecord) -> None:
    """Store a record, durably and in one step; one of the same digest is replaced."""
    missing = missing_blobs(state_dir, record)
    if missing:
        raise KedgeError(
            "image.blob_missing", f"blob {missing[0]} is not there", where=record.reference
        )
    content = msgspec.json.format(msgspec.json.encode(record), indent=1)
    write_file(_record_path(state_dir, record.digest), content + b"\n")


def find_record(state_dir: Path, digest: str) -> ImageRecord | None:
    """The record of a manifest digest; None where it was not imported (or its record is damaged)."""
    if not DIGEST.fullmatch(digest):
        return None
    return _read(_record_path(state_dir, digest))


def read_records(state_dir: Path) -> list[ImageRecord]:
    """All records, by reference, architecture and time."""
    records = (_read(path) for path in (state_dir / "images").glob("*.json"))
    return sorted(
        (record for record in records if record is not None),
        key=lambda record: (record.reference, record.arch, record.created, record.digest),
    )


def find_by_reference(state_dir: Path, reference: str, arch: str) -> ImageRecord | None:
    """The image that was last imported under this reference; which one nodes run is pinned elsewhere."""
    found = [
        record
        for record in read_records(state_dir)
        if record.reference == reference and record.arch == arch
    ]
    return found[-1] if found else None


def missing_blobs(state_dir: Path, record: ImageRecord) -> tuple[str, ...]:
    """The blobs of a record that are not there in full length."""
    return tuple(blob.blob for blob in record.blobs() if not has_blob(state_dir, blob))


def remove_record(state_dir: Path, digest: str) -> None:
    """Forget an image; its blobs stay until they are collected."""
    if DIGEST.fullmatch(digest):
        _record_path(state_dir, digest).unlink(missing_ok=True)


def touch_record(state_dir: Path, digest: str) -> None:
    """Somebody means this image now: it is as good as imported now."""
    with suppress(FileNotFoundError):
        os.utime(_record_path(state_dir, digest))


def record_age_s(state_dir: Path, digest: str, now_s: float) -> float:
    """For how long nobody has imported, or meant, this image; 0 where it is not there."""
    try:
        return now_s - _record_path(state_dir, digest).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def named_blobs(state_dir: Path) -> dict[str, frozenset[str]]:
    """Which blobs (in hex) each record names, by the record's file (``images/<hex>.json``); raises
    `KedgeError` for a record that cannot be read, as that may name anything."""
    found: dict[str, frozenset[str]] = {}
    for folder in ("images", "layer0", "duties"):
        for path in (state_dir / folder).glob("*.json"):
            try:
                content = path.read_bytes()
                msgspec.json.decode(content)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                raise KedgeError(
                    "image.record_damaged",
                    "this record cannot be read, so no blob is removed",
                    where=str(path),
                    why=str(error),
                    next_step="Import the image (or build the layer0) again, or delete the file",
                ) from None
            names = frozenset(match.group(1).decode() for match in _ANY_DIGEST.finditer(content))
            found[f"{folder}/{path.name}"] = names
    return found


def record_name(digest: str) -> str:
    """What `named_blobs` calls the record of an image."""
    return f"images/{digest.removeprefix('sha256:')}.json"


def collect_blobs(
    state_dir: Path,
    used: Collection[str],
    *,
    now_s: float,
    min_age_s: float = 3600,
    dry_run: bool = False,
) -> Collected:
    """Remove the blobs that are not ``used`` (in hex) and that nobody has placed or used for ``min_age_s``,
    nor since the oldest work under way began."""
    begun_s = work_begun_s(state_dir)
    before_s = min(now_s - max(min_age_s, LEAST_AGE_S), begun_s)
    removed: list[str] = []
    size_bytes = 0
    for path in sorted((state_dir / "blobs" / "sha256").glob("*")):
        if path.name in used:
            continue
        size = _old_size(path, before_s) if dry_run else drop_blob(state_dir, path, before_s)
        if size is not None:
            removed.append(f"sha256:{path.name}")
            size_bytes += size
    if not dry_run and math.isinf(begun_s):  # an import may have looked at them already
        _drop_stale_cache(state_dir)
    return Collected(tuple(removed), size_bytes)


def _old_size(path: Path, before_s: float) -> int | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size if found.st_ctime < before_s else None


def _drop_stale_cache(state_dir: Path) -> None:
    """Conversions whose file is gone, and the listings of layers that have no conversion left."""
    cache = state_dir / "cache" / "layers"
    live: set[str] = set()
    for path in cache.glob("*.json"):
        try:
            layer = msgspec.json.decode(path.read_bytes(), type=ConvertedLayer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            path.unlink(missing_ok=True)
            continue
        if has_blob(state_dir, Blob(layer.blob, layer.size_bytes)):
            live.add(layer.source.removeprefix("sha256:"))
        else:
            path.unlink(missing_ok=True)
    for path in cache.glob("*.members"):
        if path.stem not in live:
            path.unlink(missing_ok=True)


def _read(path: Path) -> ImageRecord | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ImageRecord)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _record_path(state_dir: Path, digest: str) -> Path:
    return state_dir / record_name(digest)
