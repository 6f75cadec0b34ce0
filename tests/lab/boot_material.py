"""What the boot tests load: iPXE, a kernel and a tiny busybox for each architecture, kept in a cache."""

from __future__ import annotations

import fcntl
import gzip
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from kedge.lib import cpio
from kedge.modules.boot.layer0.packages import host_sources

CACHE = Path("/var/cache/kedge-test/boot-2")
HEAVY = Path("/tmp/kedge-heavy.lock")  # what takes much of a small machine runs one at a time
KERNELS = {
    "x86_64": ("amd64", "linux-image-cloud-amd64"),
    "aarch64": ("arm64", "linux-image-cloud-arm64"),
}
FIRMWARE = {"x86_64": ("undionly.kpxe", "snponly.efi"), "aarch64": ("ipxe-arm64.efi",)}
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "KEDGE-TEST arguments: $(/bin/busybox cat /proc/cmdline)"
echo "KEDGE-TEST second archive: $(/bin/busybox cat /second/file)"
/bin/busybox poweroff -f
"""
SECOND = "the second archive came along"


@dataclass(frozen=True)
class Material:
    """The files of one architecture; ``initramfs`` holds the init, ``modules`` a file it shows."""

    kernel: Path
    initramfs: Path
    modules: Path
    firmware: dict[str, Path]


def material(arch: str) -> Material:
    """The files, fetched on the first use (a minute)."""
    home = CACHE / arch
    home.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock, HEAVY.open("w") as heavy:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            fcntl.flock(heavy, fcntl.LOCK_EX)
            _fetch(arch, home)
            (home / "done").touch()
    firmware = {name: home / name for name in FIRMWARE[arch]}
    return Material(home / "vmlinuz", home / "initramfs", home / "modules", firmware)


def _fetch(arch: str, home: Path) -> None:
    debian, kernel = KERNELS[arch]
    archive = home / "packages.tar"
    command = ["mmdebstrap", "--variant=extract", "--mode=root", f"--architectures={debian}"]
    packages = f"--include=ipxe,busybox-static,{kernel}"
    subprocess.run(
        [*command, packages, "trixie", str(archive), *host_sources()], check=True, timeout=500
    )
    with tarfile.open(archive) as packed:
        for member in packed:
            name = Path(member.name).name
            if not member.isfile():
                continue
            wanted = name in FIRMWARE[arch] and "/ipxe/" in member.name
            target = name if wanted else "vmlinuz" if name.startswith("vmlinuz-") else ""
            if member.name.endswith("bin/busybox"):
                target = "busybox"
            if target:
                content = packed.extractfile(member)
                assert content is not None
                (home / target).write_bytes(content.read())
    archive.unlink()
    first = [
        cpio.directory("bin"),
        cpio.directory("proc"),
        cpio.file("bin/busybox", (home / "busybox").read_bytes(), 0o755),
        cpio.file("init", INIT.encode(), 0o755),
    ]
    second = [cpio.directory("second"), cpio.file("second/file", SECOND.encode())]
    for name, entries in (("initramfs", first), ("modules", second)):
        (home / name).write_bytes(gzip.compress(b"".join(cpio.archive(entries)), mtime=0))
