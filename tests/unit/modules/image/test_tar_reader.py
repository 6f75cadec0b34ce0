"""Hostile and damaged archives are refused with a reason; what an image builder writes is read exactly."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.image.tar_reader import Member, TarReader


def read(
    archive: bytes, max_members: int = 1000, max_bytes: int = 1 << 30
) -> list[tuple[Member, bytes]]:
    reader = TarReader(
        io.BytesIO(archive), where="layer x", max_members=max_members, max_bytes=max_bytes
    )
    found: list[tuple[Member, bytes]] = []
    for member in reader:
        content = bytearray()
        reader.copy_content(content.extend)
        found.append((member, bytes(content)))
    return found


def one(
    name: str = "file", content: bytes = b"", fmt: int = tarfile.PAX_FORMAT, **fields: object
) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    padded = content + bytes(-len(content) % 512)
    return member.tobuf(fmt) + padded


def patched(block: bytes, at: int, value: bytes) -> bytes:
    """A header with other bytes in it and a checksum that is right again."""
    header = bytearray(block[:512])
    header[at : at + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + block[512:]


@pytest.mark.parametrize("fmt", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_reads_what_tarfile_writes(fmt: int) -> None:
    archive = b"".join(
        [
            one(
                "d" * 150 + "/" + "ü" * 60, b"x" * 1000, fmt, uid=4_000_000_000, mtime=1_700_000_000
            ),
            one("link", b"", fmt, type=tarfile.SYMTYPE, linkname="t" * 200),
            one("dev", b"", fmt, type=tarfile.CHRTYPE, devmajor=4, devminor=64, mode=0o7777),
        ]
    )
    first, second, third = read(archive + bytes(1024))
    assert first[0].name == b"d" * 150 + b"/" + "ü".encode() * 60
    assert (first[0].uid, first[0].mtime, first[1]) == (4_000_000_000, 1_700_000_000, b"x" * 1000)
    assert (second[0].kind, second[0].target) == ("l", b"t" * 200)
    assert (third[0].kind, third[0].device, third[0].mode) == ("c", (4, 64), 0o7777)


def test_xattrs_keep_every_byte() -> None:
    raw = bytes(range(256))
    record = b"SCHILY.xattr.security.capability=" + raw + b"\n"
    content = b"%d %b" % (len(record) + 4, record)
    archive = one("pax", content, type=tarfile.XHDTYPE) + one("f")
    assert read(archive)[0][0].xattrs == ((b"security.capability", raw),)


def test_attributes_of_a_global_header_are_ignored() -> None:
    archive = one("g", b"16 path=hidden\n1", type=tarfile.XGLTYPE) + one("seen")
    assert [member.name for member, _ in read(archive)] == [b"seen"]


def test_size_of_a_link_is_no_content() -> None:
    link = patched(one("l", b"", type=tarfile.SYMTYPE, linkname="x"), 124, b"00000001000\0")
    assert [member.name for member, _ in read(link + one("next"))] == [b"l", b"next"]


def test_time_is_kept_within_what_squashfs_stores() -> None:
    assert read(one(mtime=-5))[0][0].mtime == 0
    assert read(one(mtime=1 << 40))[0][0].mtime == 0xFFFFFFFF
    assert read(one(mtime=12.75))[0][0].mtime == 12


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut in a header": (lambda: one()[:100], "middle of a header"),
    "cut in the content": (lambda: one(content=b"x" * 2000)[:1500], "shorter than its headers"),
    "claims more than there is": (lambda: patched(one(), 124, b"00000777777\0"), "shorter than"),
    "claims more than allowed": (
        lambda: patched(one(), 124, b"\x80" + b"\xff" * 11),
        "more than a layer",
    ),
    "negative size": (lambda: patched(one(), 124, b"\xff" * 12), "claims -1 bytes"),
    "wrong checksum": (lambda: b"X" + one()[1:], "checksum"),
    "not a tar at all": (lambda: b"<html>" + b" " * 600, "checksum"),
    "size is no number": (lambda: patched(one(), 124, b"zzzzzzzzzzz\0"), "no number"),
    "sparse": (lambda: patched(one(), 156, b"S"), "may not hold"),
    "unknown type": (lambda: patched(one(), 156, b"Q"), "may not hold"),
    "huge extended header": (
        lambda: patched(one("p", type=tarfile.XHDTYPE), 124, b"77777777777\0"),
        "extended header claims",
    ),
    "huge long name": (
        lambda: patched(one("p", type=tarfile.GNUTYPE_LONGNAME), 124, b"77777777777\0"),
        "extended header claims",
    ),
    "malformed extended header": (
        lambda: one("p", b"99 path=x\n", type=tarfile.XHDTYPE) + one(),
        "malformed",
    ),
    "extended header without length": (
        lambda: one("p", b"path=x\n", type=tarfile.XHDTYPE) + one(),
        "malformed",
    ),
    "record of length zero": (
        lambda: one("p", b"0 path=x\n", type=tarfile.XHDTYPE) + one(),
        "malformed",
    ),
    "negative pax size": (
        lambda: one("p", b"11 size=-1\n", type=tarfile.XHDTYPE) + one(),
        "malformed",
    ),
    "pax sparse": (
        lambda: one("p", b"22 GNU.sparse.major=1\n", type=tarfile.XHDTYPE) + one(),
        "may not hold",
    ),
    "owner out of range": (
        lambda: one("p", b"18 uid=4294967296\n", type=tarfile.XHDTYPE) + one(),
        "owner",
    ),
    "negative owner": (lambda: patched(one(), 108, b"\xff" * 8), "owner"),
    "device out of range": (
        lambda: patched(one(type=tarfile.CHRTYPE), 329, b"7777777\0"),
        "device's number",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    archive, why = REFUSED[name]
    with pytest.raises(KedgeError, match=why) as caught:
        read(archive())
    assert caught.value.code == "image.layer_refused"
    assert caught.value.where == "layer x"


def test_too_many_members() -> None:
    assert len(read(one() * 10, max_members=10)) == 10
    with pytest.raises(KedgeError, match="too many members"):
        read(one() * 11, max_members=10)


def test_sum_of_sizes_is_bounded() -> None:
    with pytest.raises(KedgeError, match="more than a layer may hold"):
        read(one(content=b"x" * 600) * 2, max_bytes=1000)


def test_old_directories_end_in_a_slash() -> None:
    old = patched(one("dir"), 0, b"dir/\0")
    assert [(member.name, member.kind) for member, _ in read(old)] == [(b"dir/", "d")]
