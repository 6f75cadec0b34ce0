"""Write layer0's initramfs: busybox and a script that fetches the rest of layer0."""

from __future__ import annotations

import gzip
import io
from importlib import resources
from pathlib import Path

from kedge.lib import cpio
from kedge.lib.kernel_modules import BOOT_MODULES, DRIVER_MODULES


def pack(busybox: Path, target: Path) -> None:
    """Write the compressed initramfs to ``target``; the image's modules cpio follows it at boot."""
    scripts = resources.files("kedge.modules.boot.layer0") / "early"
    entries = [
        cpio.file("init", (scripts / "init").read_bytes(), 0o755),
        cpio.file("bin/busybox", busybox.read_bytes(), 0o755),
        cpio.file("etc/kedge/udhcpc", (scripts / "udhcpc").read_bytes(), 0o755),
        cpio.file("etc/kedge/boot-modules", _lines(BOOT_MODULES)),
        cpio.file("etc/kedge/driver-modules", _lines(DRIVER_MODULES)),
        cpio.character_device("dev/console", 5, 1),
        cpio.character_device("dev/null", 1, 3, 0o666),
        *(cpio.directory(name) for name in ("proc", "sys", "run", "sysroot", "tmp")),
    ]
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as out:
        for piece in cpio.archive(cpio.with_parents(entries)):
            out.write(piece)
    target.write_bytes(packed.getvalue())


def _lines(names: tuple[str, ...]) -> bytes:
    return ("\n".join(names) + "\n").encode()
