"""A simulated OCI registry, and the tools with which the image module's production code imports from it.

Resolving, describing, pulling and checking digests are the production code. Only skopeo's answers are
made here (when it fails, in the words of the real one), and what would be converted to squashfs stays
a few bytes that know how large they would be.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.modules.image.access import RegistryAccess
from kedge.modules.image.blobs import write_blob
from kedge.modules.image.layer_files import check_digest
from kedge.modules.image.layers import ConvertedLayer, Progress
from kedge.modules.image.reference import Reference, parse_source
from kedge.modules.image.registry import OCI_ARCHITECTURES, RemoteImage, blobs_folder
from kedge.modules.image.skopeo import Skopeo, explain
from kedge.modules.image.store import ImageRecord, Kernel, write_record
from kedge.sim.world.network import Network
from kedge.sim.world.time import World

MEGABYTE = 1_000_000
KERNEL_BYTES, MODULES_BYTES = 12 * MEGABYTE, 30 * MEGABYTE
PULL_BYTES_PER_S = 100e6

# What skopeo prints (1.18, Debian trixie).
FATAL = 'time="2026-11-24T09:00:00Z" level=fatal msg="{}"'
DOWN = "pinging container registry {0}: Get https://{0}/v2/: dial tcp: connect: connection refused"
TIMED_OUT = (
    "pinging container registry {0}: Get https://{0}/v2/: net/http: timeout awaiting headers"
)
MISSING = "reading manifest {1} in {0}: manifest unknown"
REFUSED = "unable to retrieve auth token: invalid username/password: unauthorized"
FULL = "writing blob: storing blob to file: write /blob: no space left on device"


@dataclass
class Image:
    """What a reference stands for now. Layers are shared where their texts are equal."""

    layers: tuple[str, ...]
    arches: tuple[str, ...] = ("x86_64", "aarch64")
    size_bytes: int = 400 * MEGABYTE


@dataclass
class Registry:
    """Every registry of the world, behind one end: it holds images by reference, and may be ill.
    ``imported`` says of a digest by which references a head imported it, ``earlier`` holds what
    references stood for before, ``broken`` says in what way the newest builds do not work."""

    world: World
    network: Network
    end: str = "registry"
    images: dict[str, Image] = field(default_factory=dict[str, Image])
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    imported: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    earlier: list[tuple[str, Image]] = field(default_factory=list[tuple[str, Image]])
    builds: int = 1
    broken: str = ""
    down: bool = False
    silent: bool = False
    corrupt: bool = False
    lacks_layers: bool = False
    refuses: bool = False
    full: bool = False
    empty: bool = False
    slowness: float = 1.0

    def push(self, reference: str, version: int = 1) -> None:
        """Make ``reference`` stand for an image; another ``version`` shares all but its last layer."""
        repository = reference.rpartition(":")[0]
        self.images[reference] = Image((f"base of {repository}", f"{reference} version {version}"))

    def rebuild(self) -> None:
        """Somebody pushes a new build of every image, by the same references."""
        self.builds += 1
        self.earlier += self.images.items()
        for reference in list(self.images):
            self.push(reference, self.builds)

    def is_new(self, digest: str) -> bool:
        """Whether it is the digest of a build that was pushed by `rebuild`, and is the newest."""
        if self.builds == 1:
            return False
        newest = (manifest(i, arch) for i in self.images.values() for arch in i.arches)
        return any(_digest(one) == digest for one in newest)

    def ill(self, digest: str) -> str:
        """In what way an image does not work: ``init``, ``unfit``, or not at all."""
        return self.broken if self.broken and self.is_new(digest) else ""

    def find(self, source: str, arch: str) -> tuple[str, Image] | None:
        """The image that a tag, or a digest of one of its manifests, stands for, and its reference."""
        parsed = parse_source(source)
        if self.empty or not isinstance(parsed, Reference):
            return None
        if not parsed.digest:
            found = self.images.get(str(parsed))
            return (str(parsed), found) if found is not None else None
        for reference, image in (*sorted(self.images.items()), *self.earlier):
            if any(_digest(manifest(image, a)) == parsed.digest for a in image.arches):
                return reference, image
        return None


def layer(text: str, arch: str) -> bytes:
    """A layer's content."""
    return f"{text} for {arch}\n".encode()


def config(image: Image, arch: str) -> bytes:
    """An image's configuration for one architecture."""
    diff_ids = [_digest(layer(text, arch)) for text in image.layers]
    written = {"architecture": OCI_ARCHITECTURES[arch], "rootfs": {"diff_ids": diff_ids}}
    return json.dumps(written).encode()


def manifest(image: Image, arch: str) -> bytes:
    """An image's manifest for one architecture."""
    layers = [layer(text, arch) for text in image.layers]
    about = config(image, arch)
    return json.dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": _digest(about), "size": len(about)},
            "layers": [{"digest": _digest(content), "size": len(content)} for content in layers],
        }
    ).encode()


def index(image: Image) -> bytes:
    """The list of an image's manifests."""
    entries: list[dict[str, Any]] = []
    for arch in image.arches:
        content = manifest(image, arch)
        platform = {"os": "linux", "architecture": OCI_ARCHITECTURES[arch]}
        entry = {"digest": _digest(content), "size": len(content), "platform": platform}
        entries.append(entry)
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


class SimulatedSkopeo(Skopeo):
    """skopeo's answers, from a simulated registry over the simulated network."""

    def __init__(self, registry: Registry, client: str, folder: Path, access: RegistryAccess):
        super().__init__(folder, access)
        self._registry = registry
        self._client = client

    async def _run(
        self,
        command: Sequence[str],
        source: str,
        timeout_s: float,
        arrived: Callable[[], int] | None,
    ) -> bytes:
        registry, name = self._registry, source.removeprefix("docker://")
        await self._reach(name, timeout_s)
        if registry.refuses:
            raise self._said(REFUSED, source)
        arch = next((a for a in OCI_ARCHITECTURES if self._has(name, a)), "x86_64")
        found = registry.find(name, arch)
        if found is None:
            raise self._said(MISSING.format(name, name.rpartition(":")[2]), source)
        image = found[1]
        if command[0] == "inspect":
            if "--config" in command:
                return config(image, arch)
            return manifest(image, arch) if "@" in name else index(image)
        await self._copy(image, arch, command, source)
        return b""

    def _has(self, name: str, arch: str) -> bool:
        """Whether a reference by digest names the manifest of ``arch``."""
        found = self._registry.find(name, arch)
        return found is not None and name.endswith(_digest(manifest(found[1], arch)))

    async def _reach(self, name: str, timeout_s: float) -> None:
        registry = self._registry
        host = name.partition("/")[0]
        trip_s = registry.network.round_trip_s(self._client, registry.end)
        if registry.down:
            raise self._said(DOWN.format(host), name)
        if registry.silent or trip_s is None:
            await asyncio.sleep(min(timeout_s, 30.0))
            raise self._said(TIMED_OUT.format(host), name)
        await asyncio.sleep(trip_s + 0.1 * registry.slowness)

    async def _copy(self, image: Image, arch: str, command: Sequence[str], source: str) -> None:
        registry = self._registry
        target = blobs_folder(Path(command[-1].removeprefix("oci:").rpartition(":")[0]))
        for number, text in enumerate(image.layers):
            content = layer(text, arch)
            path = target / _digest(content).removeprefix("sha256:")
            if path.exists():
                continue
            size_bytes = image.size_bytes // len(image.layers)
            await asyncio.sleep(size_bytes / PULL_BYTES_PER_S * registry.slowness)
            if registry.full:
                raise self._said(FULL, source)
            if registry.lacks_layers and number == len(image.layers) - 1:
                raise self._said(f"fetching blob {_digest(content)}: blob not found: 404", source)
            path.write_bytes(content[:-1] + b"?" if registry.corrupt else content)

    def _said(self, text: str, source: str) -> KedgeError:
        return explain(FATAL.format(text), source, self._access)


def skopeo_of(
    registry: Registry, client: Callable[[], str]
) -> Callable[[str, RegistryAccess, Path], Any]:
    """Stands for `kedge.modules.image.skopeo.skopeo_for`."""

    @contextmanager
    def opened(
        host: str, access: RegistryAccess, folder: Path
    ) -> Generator[SimulatedSkopeo, None, None]:
        yield SimulatedSkopeo(registry, client(), folder, access)

    return opened


def finisher_of(registry: Registry) -> Callable[..., ImageRecord]:
    """Stands for the conversion of what was pulled: it is checked, and recorded with its blobs."""

    def finish(
        reference: str,
        arch: str,
        state_dir: Path,
        image: RemoteImage,
        flatten_above: int,
        tell: Progress,
        stop: Callable[[], None],
    ) -> ImageRecord:
        converted: list[ConvertedLayer] = []
        for part in image.layers:
            check_digest(part)
            blob = write_blob(state_dir, b"squashfs of " + part.path.read_bytes())
            registry.sizes[blob.blob] = 400 * MEGABYTE // len(image.layers)
            converted.append(ConvertedLayer(blob.blob, blob.size_bytes, part.digest))
        kernel = write_blob(state_dir, f"kernel of {reference} for {arch}".encode())
        modules = write_blob(state_dir, f"modules of {reference} for {arch}".encode())
        registry.sizes[kernel.blob] = KERNEL_BYTES
        registry.sizes[modules.blob] = MODULES_BYTES
        record = ImageRecord(
            reference=reference,
            digest=image.digest,
            arch=arch,
            created="2026-11-24T09:00:00+00:00",
            size_bytes=sum(layer.size_bytes for layer in converted),
            layers=tuple(converted),
            kernel=Kernel("6.12.0", kernel.blob, kernel.size_bytes),
            modules=modules,
            args=("console=ttyS0",),
        )
        write_record(state_dir, record)
        registry.imported.setdefault(record.digest, set()).add(reference)
        tell("imported", 1.0)
        return record

    return finish


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
