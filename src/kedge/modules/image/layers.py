"""Turn an image's layers into squashfs files, each once.

A conversion is cached by the layer's digest and, where it depends on the layers below (a parent directory
that the layer does not list, a whiteout of nothing), by what it took from them. Deep images can be
flattened into one file, since every layer is a loop mount on the node.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kedge.modules.image.blobs import (
    Blob,
    blob_path,
    file_sha512,
    place_blob,
    work_folder,
    write_file,
)
from kedge.modules.image.keeping import use_blob
from kedge.modules.image.layer_files import (
    LayerFile,
    cached_members,
    check_digest,
    open_layer,
    read_members,
    tar_reader,
)
from kedge.modules.image.layer_plan import LayerPlan, LayerStack
from kedge.modules.image.squashfs import squashfs_writer
from kedge.modules.image.tar_rewriter import write_end, write_files, write_marks
from kedge.modules.image.tree import default_directory

FLATTEN_ABOVE = 16
_CONVERTER = "v1"
"""Changed when the same layer would convert to something else, so that old conversions are not used."""

_TELL_BYTES = 16 << 20

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done (0 to 1)."""


class ConvertedLayer(msgspec.Struct, frozen=True):
    """A layer as nodes mount it; ``source`` is the digest of the OCI layer that it was made from.

    ``sha512`` (hex) is what nodes check: a processor without instructions for SHA-256 takes half of the
    time for it. Empty in records of before there was one; then they check ``blob``.
    """

    blob: str
    size_bytes: int
    source: str
    sha512: str = ""


@dataclass(slots=True)
class ConvertedImage:
    """All layers, bottom first, and the tree that they make. ``number_of`` maps a layer's number in the tree
    to its place in ``layers``."""

    layers: list[ConvertedLayer]
    stack: LayerStack
    number_of: dict[int, int]


def layers_to_pull(state_dir: Path, layers: Sequence[LayerFile], flatten_above: int) -> set[str]:
    """The digests that must be fetched; the conversions of all others are here already."""
    stack = LayerStack()
    if len(layers) > flatten_above:
        flat = _cached(state_dir, _flat_key(layers))
        listed = all(cached_members(state_dir, layer.digest) is not None for layer in layers)
        return set() if flat and listed else {layer.digest for layer in layers}
    needed: set[str] = set()
    for layer in layers:
        members = cached_members(state_dir, layer.digest)
        if members is None or needed:  # above an unknown layer nothing is sure
            needed.add(layer.digest)
            continue
        plan = stack.add(members, where=layer.where)
        if not plan.is_empty and _cached(state_dir, _key(layer, plan)) is None:
            needed.add(layer.digest)
    return needed


def convert_layers(
    state_dir: Path,
    layers: Sequence[LayerFile],
    *,
    flatten_above: int = FLATTEN_ABOVE,
    progress: Progress,
    stop: Callable[[], None],
) -> ConvertedImage:
    """Convert what is not converted yet. Blocks (call it in a thread); ``stop`` raises to give up."""
    stack = LayerStack()
    plans: list[LayerPlan] = []
    sizes: list[int] = []
    for number, layer in enumerate(layers, start=1):
        members = cached_members(state_dir, layer.digest)
        if members is None:
            progress(f"reading layer {number} of {len(layers)}", (number - 1) / len(layers))
            members = read_members(state_dir, layer, stop)
        plans.append(stack.add(members, where=layer.where))
        sizes.append(sum(member.size_bytes for member in members))
    if len(layers) > flatten_above:
        key, parts = _flat_key(layers), list(zip(layers, stack.flat_plans(), strict=True))
        meter = _Meter(f"flattening {len(layers)} layers", sum(sizes), progress, stop)
        flat = _convert_once(state_dir, key, _chain(layers), parts, meter)
        return ConvertedImage([flat], stack, dict.fromkeys(range(len(layers)), 0))
    converted: dict[int, ConvertedLayer] = {}
    for number, (layer, plan) in enumerate(zip(layers, plans, strict=True)):
        if plan.is_empty and not (number == len(layers) - 1 and not converted):
            continue
        what = f"converting layer {number + 1} of {len(layers)}"
        meter = _Meter(what, sizes[number], progress, stop)
        converted[number] = _convert_once(
            state_dir, _key(layer, plan), layer.digest, [(layer, plan)], meter
        )
    return _without_repeats(converted, stack)


@dataclass(slots=True)
class _Meter:
    """Tells how far a conversion is; its ``stop`` raises when it shall be given up."""

    what: str
    expected_bytes: int
    progress: Progress
    stop: Callable[[], None]
    written_bytes: int = 0
    told_bytes: int = 0

    def count(self, piece: bytes) -> None:
        self.written_bytes += len(piece)
        if self.written_bytes - self.told_bytes >= _TELL_BYTES or not self.told_bytes:
            self.told_bytes = self.written_bytes
            self.progress(self.what, min(self.written_bytes / max(self.expected_bytes, 1), 1.0))


def _without_repeats(converted: dict[int, ConvertedLayer], stack: LayerStack) -> ConvertedImage:
    """Each file once, where it was uppermost: overlayfs refuses one that is there twice. The lower one
    changes nothing, as the upper one decides the same paths in the same way."""
    uppermost = {layer.blob: number for number, layer in converted.items()}
    kept = sorted(uppermost.values())
    number_of = {number: kept.index(uppermost[layer.blob]) for number, layer in converted.items()}
    return ConvertedImage([converted[number] for number in kept], stack, number_of)


def _convert_once(
    state_dir: Path,
    key: str,
    source: str,
    parts: Sequence[tuple[LayerFile, LayerPlan]],
    meter: _Meter,
) -> ConvertedLayer:
    found = _cached(state_dir, key)
    if found is not None:
        return found
    with _locked(_cache_path(state_dir, key).with_suffix(".lock"), meter.stop):
        found = _cached(state_dir, key)
        if found is not None:
            return found  # another import was faster
        blob = _write_squashfs(state_dir, parts, meter)
        checksum = file_sha512(blob_path(state_dir, blob.blob))
        converted = ConvertedLayer(blob.blob, blob.size_bytes, source, checksum)
        write_file(_cache_path(state_dir, key), msgspec.json.encode(converted))
        return converted


def _write_squashfs(
    state_dir: Path, parts: Sequence[tuple[LayerFile, LayerPlan]], meter: _Meter
) -> Blob:
    root = parts[0][1].directories.get((), default_directory())
    with work_folder(state_dir) as folder:
        target = folder / "layer.squashfs"
        with squashfs_writer(target, root, meter.stop) as feed:

            def write(piece: bytes) -> None:
                feed(piece)
                meter.count(piece)

            for _, plan in parts:
                write_marks(plan, write)
            for layer, plan in parts:
                if plan.files:
                    check_digest(layer)
                    with open_layer(layer, meter.stop) as stream:
                        write_files(tar_reader(stream, layer), plan, write)
                        stream.drain()
            write_end(write)
        return place_blob(state_dir, target)


def _cached(state_dir: Path, key: str) -> ConvertedLayer | None:
    try:
        layer = msgspec.json.decode(_cache_path(state_dir, key).read_bytes(), type=ConvertedLayer)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return layer if use_blob(state_dir, Blob(layer.blob, layer.size_bytes)) else None


def _key(layer: LayerFile, plan: LayerPlan) -> str:
    context = plan.context_key()
    name = layer.digest.removeprefix("sha256:") + (f"-{context[:32]}" if context else "")
    return f"{name}-{_CONVERTER}"


def _flat_key(layers: Sequence[LayerFile]) -> str:
    return f"flat-{_chain(layers).removeprefix('sha256:')}-{_CONVERTER}"


def _chain(layers: Sequence[LayerFile]) -> str:
    return (
        "sha256:" + hashlib.sha256(" ".join(layer.digest for layer in layers).encode()).hexdigest()
    )


def _cache_path(state_dir: Path, key: str) -> Path:
    return state_dir / "cache" / "layers" / f"{key}.json"


@contextmanager
def _locked(path: Path, stop: Callable[[], None]) -> Generator[None, None, None]:
    """Holds the lock file; others, in this process or another, wait and may be stopped meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stop()
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
