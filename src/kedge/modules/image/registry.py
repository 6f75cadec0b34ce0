"""Find out what an image reference stands for, and fetch it: manifest, configuration, missing layers.

A reference is resolved to the digest of one architecture's manifest; everything else is then fetched by
digest, and each digest is checked here again. Layers that are converted already are not fetched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kedge.lib.errors import KedgeError
from kedge.modules.image.blobs import DIGEST
from kedge.modules.image.layer_files import LayerFile
from kedge.modules.image.reference import LocalSource, Reference
from kedge.modules.image.skopeo import Skopeo

T = TypeVar("T")

OCI_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MAX_LAYERS = 512
_MAX_CONFIG_BYTES = 8 << 20


class _Descriptor(msgspec.Struct):
    digest: str
    size: int
    platform: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class _Manifest(msgspec.Struct):
    """An image manifest or an index of them; of docker's formats version 2 (schema 1 has no digests)."""

    schemaVersion: int = 0
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None


class _RootFs(msgspec.Struct):
    diff_ids: list[str] = msgspec.field(default_factory=list[str])


class _Runtime(msgspec.Struct):
    Labels: dict[str, str] | None = None


class _Config(msgspec.Struct):
    architecture: str = ""
    created: str = ""
    rootfs: _RootFs = msgspec.field(default_factory=_RootFs)
    config: _Runtime | None = None


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """One architecture's image as its registry describes it."""

    digest: str
    labels: dict[str, str]
    created: str
    layers: tuple[LayerFile, ...]
    config_digest: str


async def resolve(skopeo: Skopeo, reference: Reference, arch: str) -> tuple[str, bytes]:
    """The digest and bytes of the manifest that ``reference`` has for ``arch`` (x86_64 or aarch64).

    Raises KedgeError: image.not_found, auth_refused, tls_unknown, plain_http, registry_down, wrong_arch,
    digest_mismatch and bad_manifest, each with the next step.
    """
    named = reference.pinned(reference.digest) if reference.digest else reference
    raw = await skopeo.inspect(f"docker://{named}", "--raw")
    if reference.digest:
        _check(raw, reference.digest, str(reference))
    manifest = _decode(raw, _Manifest, str(reference))
    if manifest.manifests is None:
        return _digest(raw), raw
    digest = _choose(manifest.manifests, arch, str(reference))
    raw = await skopeo.inspect(f"docker://{reference.pinned(digest)}", "--raw")
    _check(raw, digest, str(reference))
    return digest, raw


async def describe(
    skopeo: Skopeo, reference: Reference, arch: str, manifest: bytes, folder: Path
) -> RemoteImage:
    """The image behind a resolved manifest; its layers will lie in the OCI layout ``folder``."""
    digest = _digest(manifest)
    config = await skopeo.inspect(f"docker://{reference.pinned(digest)}", "--config", "--raw")
    return parse_image(manifest, config, arch, str(reference), blobs_folder(folder))


def parse_image(manifest: bytes, config: bytes, arch: str, where: str, folder: Path) -> RemoteImage:
    """Check manifest and configuration against each other and against ``arch``."""
    parsed = _decode(manifest, _Manifest, where)
    if parsed.schemaVersion != 2 or parsed.config is None or not parsed.layers:
        raise _bad_manifest(where, "it is no image manifest with layers (OCI, or docker schema 2)")
    _check(config, parsed.config.digest, where)
    described = _decode(config, _Config, where)
    wanted = OCI_ARCHITECTURES[arch]
    if described.architecture != wanted:
        raise KedgeError(
            "image.wrong_arch",
            f"the image is for {described.architecture or 'an unnamed architecture'}, not for {wanted}",
            where=where,
            next_step=f"Push an image for {arch}, or an index that holds one",
        )
    diff_ids = described.rootfs.diff_ids
    if len(diff_ids) != len(parsed.layers) or len(diff_ids) > _MAX_LAYERS:
        raise _bad_manifest(
            where, f"it has {len(parsed.layers)} layers, its configuration {len(diff_ids)}"
        )
    layers: list[LayerFile] = []
    for descriptor, diff_id in zip(parsed.layers, diff_ids, strict=True):
        if (
            not (DIGEST.fullmatch(descriptor.digest) and DIGEST.fullmatch(diff_id))
            or descriptor.size < 0
        ):
            raise _bad_manifest(where, "a layer has no sha256 digest")
        name = descriptor.digest.removeprefix("sha256:")
        layers.append(LayerFile(descriptor.digest, diff_id, descriptor.size, folder / name))
    labels: dict[str, str] = (described.config.Labels if described.config else None) or {}
    return RemoteImage(
        _digest(manifest), labels, described.created, tuple(layers), parsed.config.digest
    )


async def pull(
    skopeo: Skopeo,
    reference: Reference,
    image: RemoteImage,
    needed: set[str],
    folder: Path,
    progress: Callable[[str, float], None],
) -> None:
    """Fetch the ``needed`` layers (digests) into an OCI layout in ``folder``."""
    if not needed:
        return
    blobs_folder(folder).mkdir(parents=True)
    for layer in image.layers:
        if layer.digest not in needed:
            # skopeo takes a file of this name for the layer itself and does not fetch it; it is never read.
            with layer.path.open("wb") as stand_in:
                stand_in.truncate(layer.size_bytes)
    total = sum(
        {
            layer.digest: layer.size_bytes for layer in image.layers if layer.digest in needed
        }.values()
    )
    ignored = {layer.path.name for layer in image.layers if layer.digest not in needed}
    what = f"pulling {len(needed)} of {len(image.layers)} layers"

    def arrived() -> int:
        count = folder_bytes(folder, ignored)
        progress(what, min(count / max(total, 1), 1.0))
        return count

    await skopeo.copy(
        f"docker://{reference.pinned(image.digest)}", f"oci:{folder}:pulled", arrived=arrived
    )


def blobs_folder(layout: Path) -> Path:
    """Where an OCI layout has its blobs."""
    return layout / "blobs" / "sha256"


async def pull_local(
    skopeo: Skopeo,
    source: LocalSource,
    arch: str,
    folder: Path,
    progress: Callable[[str, float], None],
) -> RemoteImage:
    """Copy an image out of a file or folder of this machine and describe it."""
    if not Path(source.path).exists():
        raise KedgeError("image.not_found", "there is no such file", where=str(source))

    def arrived() -> int:
        progress("copying the image", 0.5)
        return folder_bytes(folder, set())

    platform = ("--override-os", "linux", "--override-arch", OCI_ARCHITECTURES[arch])
    await skopeo.copy(str(source), f"dir:{folder}", *platform, arrived=arrived)
    manifest = (folder / "manifest.json").read_bytes()
    parsed = _decode(manifest, _Manifest, str(source))
    if parsed.config is None or not DIGEST.fullmatch(parsed.config.digest):
        raise _bad_manifest(str(source), "it has no configuration")
    config = folder / parsed.config.digest.removeprefix("sha256:")
    if config.stat().st_size > _MAX_CONFIG_BYTES:
        raise _bad_manifest(str(source), "its configuration is too long")
    return parse_image(manifest, config.read_bytes(), arch, str(source), folder)


def folder_bytes(folder: Path, ignored: set[str]) -> int:
    """The bytes in a folder's files, those still growing included."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # renamed meanwhile
                total += 0 if name in ignored else Path(parent, name).lstat().st_size
    return total


def _choose(manifests: Sequence[_Descriptor], arch: str, where: str) -> str:
    wanted = OCI_ARCHITECTURES[arch]
    offered: list[str] = []
    for entry in manifests:
        if entry.platform.get("os", "linux") != "linux":
            continue
        offered.append(str(entry.platform.get("architecture", "?")))
        if offered[-1] == wanted and DIGEST.fullmatch(entry.digest):
            return entry.digest
    raise KedgeError(
        "image.wrong_arch",
        f"the image is not offered for {wanted}",
        where=where,
        why=f"its index holds {', '.join(sorted(set(offered))) or 'nothing for linux'}",
        next_step=f"Push it for {arch} too",
    )


def _decode(raw: bytes, kind: type[T], where: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad_manifest(where, str(error)) from None


def _check(content: bytes, digest: str, where: str) -> None:
    if _digest(content) != digest:
        raise KedgeError(
            "image.digest_mismatch",
            "the registry sent something else than what was asked for by digest",
            where=where,
            why=f"asked for {digest}, got {_digest(content)}",
            next_step="Look at the registry's storage, and at proxies before it",
        )


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _bad_manifest(where: str, why: str) -> KedgeError:
    return KedgeError(
        "image.bad_manifest",
        "this is no image that Kedge can use",
        where=where,
        why=why,
        next_step="Push it as an OCI image: skopeo copy --format oci ...",
    )
