"""Read a layer's archive as it came from the registry: decompress it, check it, list its members.

A listing is cached by the layer's digest (`<state>/cache/layers/<hex>.members`), so that a layer that was
seen once is never read again unless it must be converted.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import cast

import msgspec

from kedge.lib.errors import KedgeError
from kedge.modules.image.blobs import file_digest, write_file
from kedge.modules.image.tar_reader import CHUNK_BYTES, Member, Readable, TarReader

MAX_MEMBERS = 2_000_000
MAX_LAYER_BYTES = 512 << 30
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class LayerFile:
    """One layer as the manifest names it; ``path`` need not exist when everything about it is cached.

    ``diff_id`` is the digest of the uncompressed archive from the image's configuration.
    """

    digest: str
    diff_id: str
    size_bytes: int
    path: Path

    @property
    def where(self) -> str:
        return f"layer {self.digest[:19]}"


class _Counted:
    """A stream that hashes what is read from it and lets the reader be stopped."""

    def __init__(self, stream: Readable, stop: Callable[[], None], where: str) -> None:
        self._stream = stream
        self._stop = stop
        self._where = where
        self._buffer = memoryview(b"")
        self.sha256 = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        if not self._buffer:
            self._stop()
            try:
                piece = self._stream.read(CHUNK_BYTES)
            except (OSError, EOFError, zlib.error) as error:
                raise _corrupt(self._where, f"it cannot be decompressed: {error}") from None
            self.sha256.update(piece)
            self._buffer = memoryview(piece)
        piece = bytes(self._buffer[:size])
        self._buffer = self._buffer[size:]
        return piece

    def drain(self) -> None:
        while self.read(CHUNK_BYTES):
            pass


def cached_members(state_dir: Path, digest: str) -> list[Member] | None:
    """The members of a layer that was read before."""
    try:
        packed = _listing_path(state_dir, digest).read_bytes()
        return msgspec.msgpack.decode(zlib.decompress(packed), type=list[Member])
    except (FileNotFoundError, zlib.error, msgspec.DecodeError, UnicodeDecodeError):
        return None  # a damaged cache is as good as none


def read_members(state_dir: Path, layer: LayerFile, stop: Callable[[], None]) -> list[Member]:
    """Check a pulled layer against its digests and list its members.

    Raises KedgeError ``image.layer_corrupt`` or ``image.layer_refused``.
    """
    check_digest(layer)
    with open_layer(layer, stop) as stream:
        members = list(tar_reader(stream, layer))
        stream.drain()
        unpacked = "sha256:" + stream.sha256.hexdigest()
    if unpacked != layer.diff_id:
        raise _corrupt(layer.where, f"unpacked it is {unpacked}, its image says {layer.diff_id}")
    _write_listing(state_dir, layer.digest, members)
    return members


def check_digest(layer: LayerFile) -> None:
    """KedgeError ``image.layer_corrupt`` unless the file is what the manifest names."""
    try:
        actual = file_digest(layer.path)
    except FileNotFoundError:
        raise _corrupt(layer.where, "it did not arrive") from None
    if actual != layer.digest:
        raise _corrupt(layer.where, f"what arrived is {actual}")


def tar_reader(stream: Readable, layer: LayerFile) -> TarReader:
    """A reader of the layer's members with the limits that hold for all layers."""
    return TarReader(stream, where=layer.where, max_members=MAX_MEMBERS, max_bytes=MAX_LAYER_BYTES)


@contextmanager
def open_layer(layer: LayerFile, stop: Callable[[], None]) -> Generator[_Counted, None, None]:
    """The layer's uncompressed archive as a stream; its first bytes tell how it is compressed."""
    with layer.path.open("rb", buffering=0) as file:  # zstd reads on from where the file stands
        magic = file.read(4)
        file.seek(0)
        if magic.startswith(_GZIP):
            with gzip.GzipFile(fileobj=file, mode="rb") as plain:
                yield _Counted(plain, stop, layer.where)
        elif magic == _ZSTD:
            with _zstd(file, layer.where) as plain:
                yield _Counted(plain, stop, layer.where)
        else:
            yield _Counted(file, stop, layer.where)


@contextmanager
def _zstd(file: FileIO, where: str) -> Generator[Readable, None, None]:
    try:
        process = subprocess.Popen(
            ["zstd", "--decompress", "--stdout", "--quiet"],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise KedgeError(
            "image.program_missing",
            "zstd is not installed",
            next_step="Install it: apt-get install zstd",
        ) from None
    assert process.stdout is not None
    finished = False
    try:
        yield cast(Readable, process.stdout)
        finished = not process.stdout.read(1)
    finally:
        process.stdout.close()
        if not finished:
            process.kill()
        code = process.wait()
    if finished and code != 0:
        raise _corrupt(where, "zstd cannot decompress it")


def _listing_path(state_dir: Path, digest: str) -> Path:
    return state_dir / "cache" / "layers" / f"{digest.removeprefix('sha256:')}.members"


def _write_listing(state_dir: Path, digest: str, members: Sequence[Member]) -> None:
    write_file(_listing_path(state_dir, digest), zlib.compress(msgspec.msgpack.encode(members), 1))


def _corrupt(where: str, why: str) -> KedgeError:
    return KedgeError(
        "image.layer_corrupt",
        "this layer is damaged",
        where=where,
        why=why,
        next_step="Import the image again (kedge image import REFERENCE); if it stays so, push it to "
        "the registry again",
    )
