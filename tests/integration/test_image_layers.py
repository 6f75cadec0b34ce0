"""Nasty layers, unpacked by umoci and stacked by overlayfs from our squashfs files: the trees are equal."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from image_oracle import Layer, can_mount, convert, kedge_tree, umoci_tree

pytestmark = pytest.mark.skipif(
    not can_mount(), reason="needs root, umoci, and overlay and squashfs mounts"
)

CAPABILITY = "SCHILY.xattr.security.capability"
RAW_CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000").decode(
    "utf-8", "surrogateescape"
)


def base() -> Layer:
    """A layer that lists every parent, to be changed by others."""
    return (
        Layer()
        .dir("./")
        .dir("etc/", mode=0o750, uid=3, gid=4)
        .file("etc/passwd", b"root\n")
        .file("etc/shadow", b"secret\n", mode=0o640, gid=42)
        .dir("usr/")
        .dir("usr/lib/")
        .file("usr/lib/a", b"a" * 5000)
        .file("usr/lib/b", b"b" * 3_000_000)
        .link("lib", "usr/lib")
        .dir("var/")
        .dir("var/deep/")
        .dir("var/deep/er/", mode=0o1777)
        .file("var/deep/er/file")
    )


SCENARIOS: dict[str, Callable[[], list[Layer]]] = {
    "plain": lambda: [base()],
    "hard links": lambda: [base().hard("usr/lib/h1", "usr/lib/b").hard("etc/h2", "usr/lib/b")],
    "hard link to a symlink": lambda: [base().hard("lib2", "lib")],
    "hard links in two layers": lambda: [
        base().hard("usr/lib/h1", "usr/lib/a"),
        Layer().dir("usr/").dir("usr/lib/").file("usr/lib/x").hard("usr/lib/y", "usr/lib/x"),
    ],
    "half of a hard link removed": lambda: [
        base().hard("usr/lib/h1", "usr/lib/a"),
        Layer().dir("usr/").dir("usr/lib/").gone("usr/lib/a"),
    ],
    "capabilities": lambda: [
        base().file("usr/ping", b"x", mode=0o4755, pax_headers={CAPABILITY: RAW_CAPABILITY})
    ],
    "user xattrs": lambda: [
        base().file("usr/x", pax_headers={"SCHILY.xattr.user.origin": "ü=1\n2"}),
        Layer().dir("usr/", pax_headers={"SCHILY.xattr.user.dir": "yes"}).file("usr/y"),
    ],
    "removed file": lambda: [base(), Layer().dir("etc/").gone("etc/shadow")],
    "removed directory": lambda: [base(), Layer().dir("var/").gone("var/deep")],
    "removed twice, remade": lambda: [
        base(),
        Layer().dir("var/").gone("var/deep"),
        Layer().dir("var/").dir("var/deep/", uid=9).file("var/deep/new"),
        Layer().dir("var/").gone("var/deep"),
        Layer().dir("var/").dir("var/deep/").file("var/deep/newer"),
    ],
    "removed symlink": lambda: [base(), Layer().gone("lib")],
    "removed and made again as a file": lambda: [
        base(),
        Layer().dir("etc/").gone("etc/passwd").file("etc/passwd", b"new"),
    ],
    "removed and made again as a directory": lambda: [
        base(),
        Layer().dir("var/").gone("var/deep").dir("var/deep/", mode=0o700).file("var/deep/only"),
    ],
    "directory becomes a file": lambda: [
        base(),
        Layer().dir("var/").file("var/deep", b"now a file"),
    ],
    "file becomes a directory": lambda: [
        base(),
        Layer().dir("etc/").dir("etc/shadow/").file("etc/shadow/x"),
    ],
    "directory, file, directory": lambda: [
        base(),
        Layer().dir("var/").file("var/deep"),
        Layer().dir("var/").dir("var/deep/").file("var/deep/x"),
    ],
    "directory becomes a symlink": lambda: [base(), Layer().dir("var/").link("var/deep", "../etc")],
    "symlink becomes a directory": lambda: [base(), Layer().dir("lib/").file("lib/new")],
    "opaque": lambda: [
        base(),
        Layer().dir("var/").dir("var/deep/").opaque("var/deep").file("var/deep/n"),
    ],
    "opaque and empty": lambda: [base(), Layer().dir("var/").dir("var/deep/").opaque("var/deep")],
    "opaque over two layers": lambda: [
        base(),
        Layer().dir("var/").dir("var/deep/").file("var/deep/second"),
        Layer()
        .dir("var/")
        .dir("var/deep/")
        .opaque("var/deep")
        .dir("var/deep/er/")
        .file("var/deep/er/z"),
    ],
    "opaque root": lambda: [base(), Layer().opaque("").dir("etc/").file("etc/only")],
    "attributes of a directory change": lambda: [
        base(),
        Layer().dir("etc/", mode=0o711, uid=70, gid=71),
    ],
    "parents left out": lambda: [base(), Layer().file("var/deep/er/new").file("etc/new", b"n")],
    "parents left out, whiteout": lambda: [base(), Layer().gone("var/deep/er/file")],
    "through a symlink of a lower layer": lambda: [base(), Layer().file("lib/through", b"t")],
    "through an absolute symlink": lambda: [
        base().link("abs", "/var/deep"),
        Layer().file("abs/er/through", b"t"),
    ],
    "through a symlink that climbs": lambda: [
        base().link("up", "../../../../var"),
        Layer().file("up/through", b"t"),
    ],
    "whiteout through a symlink": lambda: [base(), Layer().gone("lib/a")],
    "devices and pipes": lambda: [
        base()
        .add("usr/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
        .add("usr/sda", tarfile.BLKTYPE, devmajor=8, devminor=0, mode=0o660, gid=6)
        .add("usr/big", tarfile.CHRTYPE, devmajor=4095, devminor=65535)
        .add("usr/pipe", tarfile.FIFOTYPE, mode=0o600)
    ],
    "huge owners": lambda: [base().file("usr/huge", uid=4_000_000_000, gid=3_999_999_999)],
    "names": lambda: [
        base()
        .file("usr/ünïcode-日本語")
        .file("usr/with space and 'quotes'")
        .file("usr/new\nline")
        .file("usr/" + "n" * 250)
        .file("usr/-dash")
        .file("usr/*star?")
    ],
    "deep and long": lambda: [base().file("usr/" + "/".join(["d" * 50] * 20) + "/end")],
    "GNU long names": lambda: [
        Layer(tarfile.GNU_FORMAT)
        .dir("usr/")
        .dir("usr/" + "g" * 120 + "/")
        .file("usr/" + "g" * 120 + "/" + "f" * 120, b"long")
        .link("usr/l", "t" * 150)
    ],
    "ustar prefixes": lambda: [
        Layer(tarfile.USTAR_FORMAT).dir("p" * 60 + "/").file("p" * 60 + "/" + "q" * 90, b"prefix")
    ],
    "names that begin in odd ways": lambda: [
        Layer()
        .dir("./")
        .dir("./etc/")
        .file("/etc/absolute")
        .file("./etc//double")
        .file("etc/./dot")
    ],
    "one name twice": lambda: [base().file("etc/passwd", b"second").file("usr/lib/a", b"third")],
    "aufs bookkeeping": lambda: [base().dir(".wh..wh.plnk/").file(".wh..wh.aufs", b"")],
    "setuid and sticky": lambda: [
        base().file("usr/su", mode=0o4755).dir("usr/sticky/", mode=0o1777)
    ],
    "empty layer": lambda: [base(), Layer(), Layer().dir("./"), Layer().file("etc/after")],
    "empty file and sparse zeros": lambda: [
        base().file("usr/0", b"").file("usr/z", bytes(2_000_000))
    ],
    "old times": lambda: [base().file("usr/old", mtime=0).file("usr/half", mtime=1_600_000_000.5)],
    "root's own attributes": lambda: [base(), Layer().dir("./", mode=0o700)],
}

UNLIKE = {
    # umoci gives directories that no layer describes the time of unpacking.
    "deep and long",
    "opaque root",
}


@pytest.mark.parametrize("flatten_above", [100, 0], ids=["stacked", "flattened"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_same_as_umoci(name: str, flatten_above: int, tmp_path: Path) -> None:
    layers = [layer.bytes() for layer in SCENARIOS[name]()]
    image = convert(tmp_path, layers, flatten_above)
    ours, theirs = kedge_tree(tmp_path, image), umoci_tree(tmp_path, layers)
    if name in UNLIKE:
        ours, theirs = without_directory_times(ours), without_directory_times(theirs)
    assert ours == theirs


def without_directory_times(tree: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    return {
        path: (*entry[:4], 0, *entry[5:]) if entry[0] == 0o040000 else entry
        for path, entry in tree.items()
    }
