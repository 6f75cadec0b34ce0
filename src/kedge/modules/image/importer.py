"""Import an image whole: resolve, pull, convert, take its kernel, and record it.

Safe to repeat and to interrupt: every piece is stored under its digest as soon as it is whole, the record
comes last, and what is there already is not fetched or made again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from kedge.lib.errors import KedgeError
from kedge.modules.image.access import RegistryAccess
from kedge.modules.image.blobs import sweep_work, work_folder
from kedge.modules.image.kernel import take_kernel
from kedge.modules.image.layers import FLATTEN_ABOVE, Progress, convert_layers, layers_to_pull
from kedge.modules.image.reference import LocalSource, parse_source
from kedge.modules.image.registry import (
    OCI_ARCHITECTURES,
    RemoteImage,
    describe,
    pull,
    pull_local,
    resolve,
)
from kedge.modules.image.room import refuse_without_room, saying_when_full
from kedge.modules.image.skopeo import Skopeo, skopeo_for
from kedge.modules.image.store import (
    ImageRecord,
    find_record,
    missing_blobs,
    touch_record,
    write_record,
)

T = TypeVar("T")


Finish = Callable[[str, str, Path, RemoteImage, int, Progress, Callable[[], None]], ImageRecord]
"""Reference, architecture, state directory, what was pulled, when to flatten, progress, stop."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of an import (the simulator has some of its own): one that speaks to registries, and
    those that make a record with its blobs of what was pulled."""

    skopeo: Callable[[str, RegistryAccess, Path], AbstractContextManager[Skopeo]]
    finish: Finish


class _Stopped(Exception):
    """Raised inside the working thread when the import was cancelled."""


async def import_image(
    reference: str,
    arch: str,
    state_dir: Path,
    *,
    access: RegistryAccess | None = None,
    progress: Progress | None = None,
    flatten_above: int = FLATTEN_ABOVE,
) -> ImageRecord:
    """Bring the image ``reference`` for ``arch`` (x86_64 or aarch64) into ``state_dir``; returns its record.

    ``reference`` is a registry's image, or ``oci:/path[:tag]``, ``oci-archive:``, ``docker-archive:``,
    ``dir:``. Images of more than ``flatten_above`` layers become one. ``progress`` is called on the event
    loop. Raises KedgeError (codes ``image.*``); a cancelled import leaves nothing half done.
    """
    source = parse_source(reference)
    if arch not in OCI_ARCHITECTURES:
        raise KedgeError(
            "image.wrong_arch",
            f"'{arch}' is no architecture",
            next_step="Valid are: " + ", ".join(sorted(OCI_ARCHITECTURES)),
        )
    tell = progress or _silent
    registry = "" if isinstance(source, LocalSource) else source.registry
    tell("resolving", 0.0)
    await asyncio.to_thread(sweep_work, state_dir, time.time())
    with saying_when_full(state_dir, reference), work_folder(state_dir) as work:
        layers = work / "layers"
        layers.mkdir()
        with tools.skopeo(registry, access or RegistryAccess(), work) as skopeo:
            if isinstance(source, LocalSource):
                image = await pull_local(skopeo, source, arch, layers, tell)
                found = _known(state_dir, reference, image.digest, arch)
            else:
                digest, manifest = await resolve(skopeo, source, arch)
                found = _known(state_dir, reference, digest, arch)
                if found is None:
                    image = await describe(skopeo, source, arch, manifest, layers)
                    needed = await asyncio.to_thread(
                        layers_to_pull, state_dir, image.layers, flatten_above
                    )
                    sizes = {each.digest: each.size_bytes for each in image.layers}
                    refuse_without_room(state_dir, reference, sum(map(sizes.__getitem__, needed)))
                    await pull(skopeo, source, image, needed, layers, tell)
                else:
                    return found
        if found is not None:
            return found
        return await _in_thread(
            partial(tools.finish, reference, arch, state_dir, image, flatten_above), tell
        )


async def find_digest(
    reference: str, arch: str, state_dir: Path, *, access: RegistryAccess | None = None
) -> str:
    """The manifest digest that ``reference`` has for ``arch`` in its registry now; nothing is pulled.

    Empty for a source on this machine, which is only known once it is read.
    """
    source = parse_source(reference)
    if isinstance(source, LocalSource):
        return ""
    with (
        work_folder(state_dir) as work,
        tools.skopeo(source.registry, access or RegistryAccess(), work) as skopeo,
    ):
        digest, _ = await resolve(skopeo, source, arch)
    return digest


def _finish(
    reference: str,
    arch: str,
    state_dir: Path,
    image: RemoteImage,
    flatten_above: int,
    tell: Progress,
    stop: Callable[[], None],
) -> ImageRecord:
    converted = convert_layers(
        state_dir, image.layers, flatten_above=flatten_above, progress=tell, stop=stop
    )
    tell("taking the kernel", 0.95)
    parts = take_kernel(state_dir, converted, arch, image.labels, reference)
    stop()
    blobs = [parts.kernel.size_bytes, parts.modules.size_bytes]
    record = ImageRecord(
        reference=reference,
        digest=image.digest,
        arch=arch,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        size_bytes=sum(blobs) + sum(layer.size_bytes for layer in converted.layers),
        layers=tuple(converted.layers),
        kernel=parts.kernel,
        modules=parts.modules,
        args=parts.args,
    )
    write_record(state_dir, record)
    tell("imported", 1.0)
    return record


def _known(state_dir: Path, reference: str, digest: str, arch: str) -> ImageRecord | None:
    """The record of an earlier import that is still whole, under the name it is wanted by now."""
    record = find_record(state_dir, digest)
    if record is None or record.arch != arch or missing_blobs(state_dir, record):
        return None
    touch_record(state_dir, digest)
    return record


async def _in_thread(work: Callable[[Progress, Callable[[], None]], T], tell: Progress) -> T:
    """Run blocking work beside the event loop; when we are cancelled it stops before we return."""
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def stop() -> None:
        if cancelled.is_set():
            raise _Stopped

    def tell_from_thread(what: str, share: float) -> None:
        loop.call_soon_threadsafe(tell, what, share)

    thread = asyncio.ensure_future(asyncio.to_thread(work, tell_from_thread, stop))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([thread])
        thread.exception()  # it is no longer of interest, and now nobody complains that it was not fetched
        raise


def _silent(what: str, share: float) -> None:
    """Nobody wants to know."""


tools = Tools(skopeo_for, _finish)
