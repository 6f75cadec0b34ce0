"""Keep one record for each imported image: `<state>/images/<hex of the manifest digest>.json`.

The record says which blobs a node needs; it is written last, so what it names is there. Blobs that no
record (of an image or of a layer0) names can be collected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.modules.image.blobs import DIGEST, Blob, has_blob, write_file
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


def collect_blobs(
    state_dir: Path, *, now_s: float, min_age_s: float = 3600, dry_run: bool = False
) -> Collected:
    """Remove blobs that no record names and that are older than ``min_age_s`` (an import places its blobs
    before its record). What cannot be read counts as naming everything: then nothing is removed."""
    used = set(_named_digests(state_dir))
    removed: list[str] = []
    size_bytes = 0
    for path in sorted((state_dir / "blobs" / "sha256").glob("*")):
        found = path.stat()
        if path.name in used or now_s - found.st_ctime < min_age_s:
            continue
        removed.append(f"sha256:{path.name}")
        size_bytes += found.st_size
        if not dry_run:
            path.unlink()
    if not dry_run:
        _drop_stale_cache(state_dir)
    return Collected(tuple(removed), size_bytes)


def _named_digests(state_dir: Path) -> Iterator[str]:
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
            for match in _ANY_DIGEST.finditer(content):
                yield match.group(1).decode()


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
    return state_dir / "images" / f"{digest.removeprefix('sha256:')}.json"
