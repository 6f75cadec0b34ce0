"""Write a cpio archive in the "newc" format, as the kernel unpacks it for an initramfs.

Pure: entries in, bytes out, and the same entries always give the same bytes. Several archives may
follow one another, each compressed or not; the kernel unpacks them in order. The format:
https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory, symbolic link or device; all belong to root.

    ``path`` has no leading slash; ``mode`` holds the type and the permission bits (``0o100755``);
    ``content`` is a file's bytes or a link's target; ``device`` is (major, minor) of a device node.
    """

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(path: str, permissions: int = 0o755) -> Entry:
    """A directory."""
    return Entry(path, stat.S_IFDIR | permissions)


def file(path: str, content: bytes, permissions: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(path, stat.S_IFREG | permissions, content)


def symlink(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int, permissions: int = 0o600) -> Entry:
    """A character device node; needs no privilege, as it is only written down."""
    return Entry(path, stat.S_IFCHR | permissions, b"", (major, minor))


def with_parents(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, each preceded by its parent directories unless they were there before."""
    seen: set[str] = set()
    for entry in entries:
        parts = entry.path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            parent = "/".join(parts[:depth])
            if parent not in seen:
                seen.add(parent)
                yield directory(parent)
        if entry.path not in seen:
            seen.add(entry.path)
            yield entry


def archive(entries: Iterable[Entry], *, mtime: int = 0) -> Iterator[bytes]:
    """The archive in pieces, to be written one after another; parents must precede their children.

    ``mtime`` is in seconds since the epoch, the same for every entry.
    """
    inode = 0
    for inode, entry in enumerate(entries, start=1):
        yield from _record(entry, inode, mtime)
    yield from _record(Entry(_TRAILER, 0), inode + 1, 0)


def _record(entry: Entry, inode: int, mtime: int) -> Iterator[bytes]:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    numbers = (
        inode,
        entry.mode,
        0,  # uid
        0,  # gid
        links,
        mtime,
        len(entry.content),
        0,  # the file system's device number, twice
        0,
        major,
        minor,
        len(name),
        0,  # no checksum in this format
    )
    header = _MAGIC + b"".join(b"%08X" % number for number in numbers) + name
    yield header + _padding(len(header))
    if entry.content:
        yield entry.content + _padding(len(entry.content))


def _padding(size: int) -> bytes:
    return b"\0" * (-size % 4)
