"""Fetch blobs from the head by digest: nothing is used before its digest was checked.

A lost connection is resumed where it broke; a file that does not match is thrown away. Python's own
HTTP client would bring parsers of mail and TLS along, which take longer to load than a small layer;
one GET in HTTP/1.0, answered by a status and the bytes until the end, needs none of it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from kedge.lib.errors import KedgeError

_PIECE_BYTES = 1 << 18
_CONNECT_TIMEOUT_S = 20
_HEADERS_MAX_BYTES = 1 << 16
_CORRUPT_TRIES = 2
_PAUSE_MAX_S = 10.0

Piece = bytes | memoryview

Arrived = Callable[[int], None]
"""Told how many bytes of the blob are there."""


class Wanted(NamedTuple):
    """A blob to fetch: its digest (``sha256:<hex>``) and its exact size; for errors: the first
    part of their codes, what it is, and what an operator does about it. Where its ``sha512`` (in hex)
    is known, that is checked in the place of the digest."""

    digest: str
    size_bytes: int
    area: str = "image"
    what: str = "a layer"
    next_step: str = "Import the image again: kedge image import <reference>"
    sha512: str = ""

    def checking(self) -> _Hash:
        """A new hash of what is checked."""
        return hashlib.sha512() if self.sha512 else hashlib.sha256()

    def fits(self, found: str) -> bool:
        """Whether a hash in hex is the right one."""
        return found == (self.sha512 or self.digest.removeprefix("sha256:"))


class _Hash(Protocol):
    def update(self, data: Piece, /) -> None: ...
    def hexdigest(self) -> str: ...


def fetch(url: str, wanted: Wanted, target: Path, arrived: Arrived, *, give_up_s: float) -> None:
    """Bring the blob to ``target``; keeps trying until ``give_up_s`` pass without a new byte.

    Raises `KedgeError`; then ``target`` does not exist.
    """
    if target.exists():
        if wanted.fits(_Part(target, wanted).found):
            arrived(wanted.size_bytes)
            return
        target.unlink()
    found = ""
    for _ in range(_CORRUPT_TRIES):
        part = _Part(target.with_suffix(".part"), wanted)
        _complete(url, wanted, part, arrived, give_up_s)
        found = part.found
        if wanted.fits(found):
            part.path.replace(target)
            return
        part.path.unlink()
    raise KedgeError(
        f"{wanted.area}.corrupt",
        f"{wanted.what} does not have the content its digest names",
        where=f"{url}/blobs/{wanted.digest}",
        why=f"{wanted.size_bytes} bytes arrived with the checksum {found}",
        next_step=wanted.next_step,
    )


class _Part:
    """What has arrived of a blob: a file, how long it is, and its hash so far, made as it comes."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        """Go on with what an earlier process left."""
        self.path, self.size_bytes, self._wanted = path, 0, wanted
        self._hash = wanted.checking()
        path.touch(0o600)
        for piece in _pieces(path):
            self._take(piece)

    @property
    def found(self) -> str:
        """The hash of all that has arrived, in hex."""
        return self._hash.hexdigest()

    def begin_again(self) -> None:
        """Drop what is there."""
        os.truncate(self.path, 0)
        self.size_bytes, self._hash = 0, self._wanted.checking()

    def append(self, out: BinaryIO, piece: Piece) -> None:
        """Write the next bytes to the file that is open as ``out``."""
        out.write(piece)
        self._take(piece)

    def _take(self, piece: Piece) -> None:
        self._hash.update(piece)
        self.size_bytes += len(piece)


def _complete(url: str, wanted: Wanted, part: _Part, arrived: Arrived, give_up_s: float) -> None:
    """Fetch, and resume, until ``part`` has the wanted size."""
    last_size, last_progress = -1, time.monotonic()
    pause_s, why = 0.5, ""
    while part.size_bytes != wanted.size_bytes:
        if part.size_bytes > wanted.size_bytes:
            part.begin_again()
        if part.size_bytes > last_size:
            last_size, last_progress, pause_s = part.size_bytes, time.monotonic(), 0.5
        elif time.monotonic() - last_progress > give_up_s:
            raise _unreachable(url, wanted, why)
        try:
            _append(url, wanted, part, arrived)
        except OSError as problem:
            why = str(problem) or type(problem).__name__
        if part.size_bytes < wanted.size_bytes:
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)


def _append(url: str, wanted: Wanted, part: _Part, arrived: Arrived) -> None:
    """One request for what is missing; raises OSError when it breaks off."""
    with _connect(url) as connection:
        status, reason, piece = _ask(connection, f"/blobs/{wanted.digest}", part.size_bytes)
        if status in (403, 404, 410):
            raise _refused(url, wanted, f"{status} {reason}")
        if status == 200:  # the server does not resume
            part.begin_again()
        elif status != 206:
            raise OSError(f"the head answered {status} {reason}")
        with part.path.open("ab", buffering=0) as out:
            buffer = memoryview(bytearray(_PIECE_BYTES))
            while piece := piece or buffer[: connection.recv_into(buffer)]:
                if part.size_bytes + len(piece) > wanted.size_bytes:
                    raise OSError("more bytes came than the blob has")
                part.append(out, piece)
                arrived(part.size_bytes)
                piece = b""


def _connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    # Bytes: for a text Python would load the rules of international names.
    found = socket.getaddrinfo(host.strip("[]").encode(), int(port), type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(_CONNECT_TIMEOUT_S)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _ask(connection: socket.socket, path: str, begin: int) -> tuple[int, str, bytes]:
    """Send a GET; the answer's status and reason, and what came of the content with them."""
    lines = [f"GET {path} HTTP/1.0", "Host: head", *([f"Range: bytes={begin}-"] if begin else [])]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(_PIECE_BYTES)
        if not piece or len(answer) > _HEADERS_MAX_BYTES:
            raise OSError("the head's answer is not HTTP")
        answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    version, status, reason = [*head.split(b"\r\n")[0].decode("latin-1").split(" ", 2), "", ""][:3]
    if not version.startswith("HTTP/1.") or not status.isdecimal():
        raise OSError("the head's answer is not HTTP")
    return int(status), reason, content


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as content:
        while piece := content.read(_PIECE_BYTES):
            yield piece


def _unreachable(url: str, wanted: Wanted, why: str) -> KedgeError:
    return KedgeError(
        f"{wanted.area}.unreachable",
        f"{wanted.what} could not be fetched",
        where=f"{url}/blobs/{wanted.digest}",
        why=why or "no more bytes came",
        next_step="Check the provision network between the head and the node",
    )


def _refused(url: str, wanted: Wanted, why: str) -> KedgeError:
    return KedgeError(
        f"{wanted.area}.refused",
        f"the head does not have {wanted.what} of this digest",
        where=f"{url}/blobs/{wanted.digest}",
        why=why,
        next_step=wanted.next_step,
    )
