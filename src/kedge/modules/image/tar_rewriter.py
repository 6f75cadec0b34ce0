"""Rewrite a layer's tar as its plan says: what overlayfs needs to find, and nothing it must not.

Whiteouts become character devices 0:0, opaque directories get `trusted.overlay.opaque`, missing parent
directories are filled in, names lead nowhere else. The output is a pax archive for mksquashfs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kedge.modules.image.layer_plan import LayerPlan, kept_xattrs
from kedge.modules.image.tar_reader import BLOCK_BYTES, Member, TarReader
from kedge.modules.image.tree import Parts

Write = Callable[[bytes], object]

_TYPES = {"f": b"0", "h": b"1", "l": b"2", "c": b"3", "b": b"4", "d": b"5", "p": b"6"}
_OPAQUE_XATTR = (b"trusted.overlay.opaque", b"y")
_OCTAL_MAX_7 = 0o7777777
_OCTAL_MAX_11 = 0o77777777777


def write_marks(plan: LayerPlan, write: Write) -> None:
    """The directories and whiteouts of a plan; they come first, so that parents always precede."""
    for path in sorted(plan.directories):
        if not path:
            continue  # mksquashfs takes the root's attributes as options
        member = plan.directories[path]
        xattrs = (*member.xattrs, _OPAQUE_XATTR) if path in plan.opaque else member.xattrs
        write(header(member._replace(name=_name(path) + b"/", xattrs=xattrs)))
    for path in sorted(plan.whiteouts):
        write(
            header(Member(name=_name(path), kind="c", mode=0, uid=0, gid=0, mtime=0, size_bytes=0))
        )


def write_files(reader: TarReader, plan: LayerPlan, write: Write) -> None:
    """The files of a plan, streamed out of the layer that they are in."""
    for place, member in enumerate(reader):
        paths = plan.files.get(place)
        if not paths:
            continue
        first = _name(paths[0])
        write(header(member._replace(name=first, xattrs=kept_xattrs(member))))
        if member.kind == "f":
            reader.copy_content(write)
            write(bytes(-member.size_bytes % BLOCK_BYTES))
        for path in paths[1:]:
            link = member._replace(
                name=_name(path), kind="h", target=first, size_bytes=0, xattrs=()
            )
            write(header(link))


def write_end(write: Write) -> None:
    """Two zero blocks close an archive."""
    write(bytes(2 * BLOCK_BYTES))


def header(member: Member) -> bytes:
    """A member's header blocks, with an extended header for whatever the classic one cannot hold."""
    extended: list[tuple[bytes, bytes]] = []
    name, target = member.name, member.target
    if len(name) > 100 or not name.isascii():
        extended.append((b"path", name))
    if len(target) > 100 or not target.isascii():
        extended.append((b"linkpath", target))
    for key, value, largest in (
        (b"uid", member.uid, _OCTAL_MAX_7),
        (b"gid", member.gid, _OCTAL_MAX_7),
        (b"size", member.size_bytes, _OCTAL_MAX_11),
    ):
        if value > largest:
            extended.append((key, b"%d" % value))
    extended.extend((b"SCHILY.xattr." + key, value) for key, value in member.xattrs)
    block = _block(member, _TYPES[member.kind])
    return _extended_header(extended) + block if extended else block


def _block(member: Member, kind: bytes) -> bytes:
    block = bytearray(BLOCK_BYTES)
    block[0 : min(len(member.name), 100)] = member.name[:100]
    block[100:108] = b"%07o\0" % member.mode
    block[108:116] = b"%07o\0" % min(member.uid, _OCTAL_MAX_7)
    block[116:124] = b"%07o\0" % min(member.gid, _OCTAL_MAX_7)
    block[124:136] = b"%011o\0" % min(member.size_bytes, _OCTAL_MAX_11)
    block[136:148] = b"%011o\0" % member.mtime
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157 : 157 + min(len(member.target), 100)] = member.target[:100]
    block[257:265] = b"ustar\x0000"
    block[329:337] = b"%07o\0" % member.device[0]
    block[337:345] = b"%07o\0" % member.device[1]
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _extended_header(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    content = b"".join(_record(key, value) for key, value in records)
    member = Member(
        name=b"extended", kind="f", mode=0o644, uid=0, gid=0, mtime=0, size_bytes=len(content)
    )
    return _block(member, b"x") + content + bytes(-len(content) % BLOCK_BYTES)


def _record(key: bytes, value: bytes) -> bytes:
    """``<length> <key>=<value>\\n``, where the length counts its own digits too."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _name(path: Parts) -> bytes:
    return b"/".join(path)
