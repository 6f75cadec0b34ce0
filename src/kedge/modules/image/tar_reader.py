"""Read the tar of an OCI layer as a stream, member by member, trusting nothing in it.

Python's tarfile is not used: it reads extended headers of any size into memory and is lenient where a
layer must be refused. Understood: ustar, pax (POSIX.1-2001) and the GNU forms of long names and big
numbers. Sparse members are refused, as the OCI image specification advises against them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from kedge.lib.errors import KedgeError

BLOCK_BYTES = 512
CHUNK_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 20
"""The longest extended header taken into memory; a kernel's limit for all xattrs of a file is 64 KiB each."""

_KINDS = {
    b"0": "f",
    b"\0": "f",
    b"7": "f",
    b"1": "h",
    b"2": "l",
    b"3": "c",
    b"4": "b",
    b"5": "d",
    b"6": "p",
}
_XATTR_PREFIX = b"SCHILY.xattr."


class Member(NamedTuple):
    """One member as its headers describe it. ``kind``: f file, h hard link, l symbolic link, c and b
    devices, d directory, p pipe. Names are bytes, as written. ``xattrs`` are sorted by name."""

    name: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size_bytes: int
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes: ...


class TarReader:
    """Iterate over the members of a tar stream; after each one its content may be copied out.

    Raises KedgeError ``image.layer_refused``. ``max_members`` and ``max_bytes`` bound what it takes.
    """

    def __init__(self, stream: Readable, *, where: str, max_members: int, max_bytes: int) -> None:
        self._stream = stream
        self._where = where
        self._members_left = max_members
        self._bytes_left = max_bytes
        self._content_left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        overrides: dict[bytes, bytes] = {}
        while (block := self._next_header()) is not None:
            kind = block[156:157]
            size_bytes = self._number(block[124:136], "size")
            if kind == b"x":
                overrides.update(self._pax(self._extended(size_bytes)))
            elif kind == b"g":
                self._extended(
                    size_bytes
                )  # a comment in practice; no attribute may come from there
            elif kind == b"L":
                overrides[b"path"] = self._extended(size_bytes).rstrip(b"\0")
            elif kind == b"K":
                overrides[b"linkpath"] = self._extended(size_bytes).rstrip(b"\0")
            else:
                self._members_left -= 1
                if self._members_left < 0:
                    raise self.refused("it has too many members")
                member = self._member(block, kind, size_bytes, overrides)
                overrides = {}
                # Links, devices and directories have no content, whatever their size field says (as in Go's
                # archive/tar, which made most layers there are).
                self._begin_content(member.size_bytes)
                yield member
                self._skip_content()

    def copy_content(self, write: Callable[[bytes], object]) -> None:
        """Copy what the current member holds, in bounded pieces, without padding."""
        while self._content_left:
            piece = self._read(min(self._content_left, CHUNK_BYTES))
            self._content_left -= len(piece)
            write(piece)

    def refused(self, why: str) -> KedgeError:
        return KedgeError(
            "image.layer_refused",
            "this layer is not a sound tar archive",
            where=self._where,
            why=why,
            next_step="Build and push the image again; look at how this layer was made",
        )

    def _next_header(self) -> bytes | None:
        block = self._read_up_to(BLOCK_BYTES)
        if not block or block == bytes(BLOCK_BYTES):
            return None  # archives without an end mark exist and are harmless: nothing is missing
        if len(block) < BLOCK_BYTES:
            raise self.refused("it ends in the middle of a header")
        stored = self._number(block[148:156], "checksum")
        if stored != sum(block) - sum(block[148:156]) + 8 * 32:
            raise self.refused("a header's checksum is wrong")
        return block

    def _member(
        self, block: bytes, kind: bytes, size_bytes: int, pax: dict[bytes, bytes]
    ) -> Member:
        if kind not in _KINDS or any(key.startswith(b"GNU.sparse") for key in pax):
            raise self.refused(
                f"a member is of a kind that layers may not hold (type {kind!r} or sparse)"
            )
        name = block[:100].split(b"\0", 1)[0]
        if block[257:263] == b"ustar\0" and block[345] and b"path" not in pax:
            name = block[345:500].split(b"\0", 1)[0] + b"/" + name
        name = pax.get(b"path", name)
        letter = _KINDS[kind]
        if letter != "f":
            size_bytes = 0
        elif b"size" in pax:
            size_bytes = self._decimal(pax[b"size"])
        if letter == "f" and name.endswith(b"/"):
            letter = "d"  # archives older than POSIX mark directories so
        return Member(
            name=name,
            kind=letter,
            mode=self._number(block[100:108], "mode") & 0o7777,
            uid=self._owner(pax.get(b"uid"), block[108:116]),
            gid=self._owner(pax.get(b"gid"), block[116:124]),
            mtime=self._time(pax.get(b"mtime"), block[136:148]),
            size_bytes=size_bytes,
            target=pax.get(b"linkpath", block[157:257].split(b"\0", 1)[0])
            if letter in "hl"
            else b"",
            device=self._device(block) if letter in "cb" else (0, 0),
            xattrs=tuple(
                sorted(
                    (key.removeprefix(_XATTR_PREFIX), value)
                    for key, value in pax.items()
                    if key.startswith(_XATTR_PREFIX)
                )
            ),
        )

    def _pax(self, content: bytes) -> Iterator[tuple[bytes, bytes]]:
        position = 0
        while position < len(content) and content[position] != 0:
            space = content.find(b" ", position, position + 12)
            length = self._decimal(content[position:space]) if space > 0 else 0
            record = content[space + 1 : position + length]
            key, equals, value = record.partition(b"=")
            if length < 5 or position + length > len(content) or not equals or value[-1:] != b"\n":
                raise self.refused("an extended header is malformed")
            yield key, value[:-1]
            position += length

    def _number(self, field: bytes, what: str) -> int:
        if field[0] & 0x80:  # GNU's base 256; a set bit 6 means negative
            value = int.from_bytes(field, "big", signed=False)
            bits = 8 * len(field)
            return value - (1 << bits) if field[0] & 0x40 else value - (1 << (bits - 1))
        digits = field.strip(b" \0")
        if not digits:
            return 0
        if digits.translate(None, b"01234567"):
            raise self.refused(f"a header's {what} is no number")
        return int(digits, 8)

    def _decimal(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > 20:
            raise self.refused("a number in an extended header is malformed")
        return int(text)

    def _owner(self, pax: bytes | None, field: bytes) -> int:
        owner = self._number(field, "owner") if pax is None else self._decimal(pax)
        if not 0 <= owner < (1 << 32):
            raise self.refused(f"an owner's number is out of range ({owner})")
        return owner

    def _time(self, pax: bytes | None, field: bytes) -> int:
        """Whole seconds, kept within what squashfs can store (32 bits, unsigned)."""
        if pax is None:
            seconds = self._number(field, "time")
        else:
            whole = pax.split(b".", 1)[0]
            seconds = -1 if whole.startswith(b"-") else self._decimal(whole or b"0")
        return min(max(seconds, 0), 0xFFFFFFFF)

    def _device(self, block: bytes) -> tuple[int, int]:
        major, minor = (
            self._number(block[329:337], "device"),
            self._number(block[337:345], "device"),
        )
        if not (0 <= major < (1 << 12) and 0 <= minor < (1 << 20)):
            raise self.refused(f"a device's number is out of range ({major}:{minor})")
        return major, minor

    def _extended(self, size_bytes: int) -> bytes:
        if not 0 <= size_bytes <= MAX_HEADER_BYTES:
            raise self.refused(f"an extended header claims {size_bytes} bytes")
        self._begin_content(size_bytes)
        pieces: list[bytes] = []
        self.copy_content(pieces.append)
        self._skip_content()
        return b"".join(pieces)

    def _begin_content(self, size_bytes: int) -> None:
        if size_bytes < 0 or size_bytes > self._bytes_left:
            raise self.refused(f"a member claims {size_bytes} bytes, more than a layer may hold")
        self._bytes_left -= size_bytes
        self._content_left = size_bytes
        self._padding = -size_bytes % BLOCK_BYTES

    def _skip_content(self) -> None:
        self.copy_content(len)
        if self._padding:
            self._read(self._padding)
            self._padding = 0

    def _read(self, size: int) -> bytes:
        piece = self._read_up_to(size)
        if len(piece) < size:
            raise self.refused("it is shorter than its headers say")
        return piece

    def _read_up_to(self, size: int) -> bytes:
        piece = self._stream.read(size)
        while 0 < len(piece) < size:
            more = self._stream.read(size - len(piece))
            if not more:
                break
            piece += more
        return piece
