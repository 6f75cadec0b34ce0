"""The layer0 record: which blobs make up the boot environment of one architecture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kedge.lib.errors import KedgeError

ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
"""Kedge's names of architectures, and Debian's."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file in ``<state>/blobs/sha256``: its digest (``sha256:<hex>``) and size."""

    blob: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Layer0:
    """What ``<state>/layer0/<arch>.json`` holds. ``firmware`` maps file names to digests; ``sha512`` is the
    squashfs's checksum in hex, which a processor without instructions for SHA-256 has in half of the time
    (empty in records of before there was one).
    """

    arch: str
    digest: str
    initramfs: Blob
    squashfs: Blob
    firmware: Mapping[str, str]
    created: str
    sha512: str = ""


def digest_of(initramfs: Blob, squashfs: Blob, firmware: Mapping[str, str]) -> str:
    """The digest that stands for the whole of it."""
    parts = [initramfs.blob, squashfs.blob, *(f"{n}={firmware[n]}" for n in sorted(firmware))]
    return "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()


def record_path(state_dir: Path, arch: str) -> Path:
    """Where the record of an architecture lies."""
    return state_dir / "layer0" / f"{arch}.json"


def save_record(state_dir: Path, record: Layer0) -> None:
    """Write the record at once or not at all."""
    path = record_path(state_dir, record.arch)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".json.new")
    draft.write_text(json.dumps(asdict(record), indent=1, sort_keys=True) + "\n")
    draft.replace(path)


def load_record(state_dir: Path, arch: str) -> Layer0:
    """Read the record of an architecture; raises `KedgeError` when it was never built."""
    path = record_path(state_dir, arch)
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
        return Layer0(
            arch=raw["arch"],
            digest=raw["digest"],
            initramfs=Blob(**raw["initramfs"]),
            squashfs=Blob(**raw["squashfs"]),
            firmware=dict(raw["firmware"]),
            created=raw["created"],
            sha512=str(raw.get("sha512", "")),
        )
    except FileNotFoundError:
        why = "it was never built"
    except (ValueError, KeyError, TypeError) as problem:
        why = f"{path} is damaged: {problem}"
    raise KedgeError(
        "layer0.missing",
        f"there is no layer0 for {arch}",
        why=why,
        next_step=f"Type: kedge layer0 build --arch {arch}",
    )
