"""What a node boots, read from the state directory: the wanted image's record and its architecture's layer0.

The image module writes ``pins.json`` and ``images/``; only these files connect the two.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Blob(msgspec.Struct, frozen=True):
    """A file below ``blobs/``."""

    blob: str
    size_bytes: int = 0


class Image(msgspec.Struct, frozen=True):
    """The part of an image record that booting needs."""

    reference: str
    digest: str
    arch: str
    kernel: Blob
    modules: Blob
    args: list[str] = []


def blob_path(state_dir: Path, digest: str) -> Path | None:
    """Where the blob of a well-formed digest lies (it need not exist); None for any other text."""
    if not DIGEST.fullmatch(digest):
        return None
    return state_dir / "blobs" / "sha256" / digest.removeprefix("sha256:")


def wanted_image(state_dir: Path, wanted: Value, arch: str) -> Image:
    """The imported image of a node's ``image.wanted``, as it is pinned; raises `KedgeError`."""
    pinned = wanted if isinstance(wanted, dict) else {"reference": wanted}
    reference = pinned.get("reference")
    if not isinstance(reference, str) or not reference:
        raise KedgeError(
            "boot.no_image", "no image is wanted", next_step="Set image.wanted and type kedge apply"
        )
    digest = pinned.get("digest") or _pins(state_dir).get(f"{reference} {arch}")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise KedgeError(
            "boot.no_image",
            f"the image {reference} is not imported for {arch}",
            next_step=f"Type: kedge image import {reference}",
        )
    path = state_dir / "images" / f"{digest.removeprefix('sha256:')}.json"
    try:
        image = msgspec.json.decode(path.read_bytes(), type=Image)
    except (OSError, msgspec.MsgspecError) as error:
        raise KedgeError(
            "boot.image_record",
            f"the record of the image {reference} cannot be read",
            where=str(path),
            why=str(error),
            next_step=f"Type: kedge image import {reference}",
        ) from error
    for blob in (image.kernel.blob, image.modules.blob):
        file = blob_path(state_dir, blob)
        if file is None or not file.exists():
            raise KedgeError(
                "boot.blob_missing",
                f"a part of the image {reference} is missing",
                where=blob,
                next_step=f"Type: kedge image import {reference}",
            )
    return image


def _pins(state_dir: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode((state_dir / "pins.json").read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}
