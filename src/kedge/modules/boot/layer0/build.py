"""Build layer0 for one architecture, from Debian packages to blobs and a record."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from kedge.lib.errors import KedgeError
from kedge.modules.boot.layer0 import bytecode, initramfs, packages, tree
from kedge.modules.boot.layer0.blobs import put_file
from kedge.modules.boot.layer0.record import ARCHITECTURES, Layer0, digest_of, save_record

Progress = Callable[[str, float], None]
"""Told what is being done and which share of all is done (0 to 1)."""

_SQUASHFS = ("-comp", "zstd", "-Xcompression-level", "15", "-b", "64K")


def _silent(what: str, share: float) -> None:
    """Progress for callers who want none."""


def build(
    arch: str,
    state_dir: Path,
    progress: Progress = _silent,
    *,
    mirror: str | None = None,
) -> Layer0:
    """Build layer0 for ``arch`` (``x86_64`` or ``aarch64``); blocks for some 30 seconds.

    ``mirror`` is the URL of a Debian mirror; without it the host's own (apt's sources) is taken.
    The same packages give the same digests. Raises `KedgeError`.
    """
    if arch not in ARCHITECTURES:
        raise KedgeError(
            "layer0.arch",
            f"layer0 cannot be built for '{arch}'",
            why="valid architectures are " + ", ".join(ARCHITECTURES),
            next_step="Type: kedge layer0 build --arch x86_64",
        )
    sources = packages.sources_at(mirror) if mirror else packages.host_sources()
    scratch_root = state_dir / "tmp"
    scratch_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_root, prefix="layer0-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)  # mmdebstrap's unprivileged mode must reach through it
        return _build_in(scratch, arch, state_dir, progress, sources)


def _build_in(
    scratch: Path, arch: str, state_dir: Path, progress: Progress, sources: Sequence[str]
) -> Layer0:
    progress(f"fetching Debian packages for {arch}", 0.0)
    archive = scratch / "packages.tar"
    packages.extract(
        packages.LAYER0_PACKAGES, ARCHITECTURES[arch], archive, sources=sources, scratch=scratch
    )
    epoch_s = _newest_s(archive)
    progress("unpacking", 0.4)
    root, firmware = scratch / "root", scratch / "firmware"
    tree.unpack(archive, root)
    names = tree.unpack_firmware(archive, firmware)
    archive.unlink()
    tree.finish(root, f"{arch}-linux-gnu")
    tree.link_cache(root)
    progress("compiling the agent", 0.5)
    native = root
    if arch != platform.machine():
        native = _native_python(scratch, sources)
    bytecode.compile_tree(root, native, f"{platform.machine()}-linux-gnu")
    progress("packing the file system", 0.8)
    tree.set_times(root, epoch_s)
    squashfs = scratch / "layer0.squashfs"
    _squash(root, squashfs, epoch_s)
    initramfs.pack(root / "usr/bin/busybox", scratch / "initramfs")
    progress("storing", 0.95)
    firmware_blobs = {name: put_file(state_dir, firmware / name).blob for name in names}
    initramfs_blob = put_file(state_dir, scratch / "initramfs")
    squashfs_blob = put_file(state_dir, squashfs)
    with squashfs.open("rb") as content:
        sha512 = hashlib.file_digest(content, "sha512").hexdigest()
    record = Layer0(
        arch=arch,
        digest=digest_of(initramfs_blob, squashfs_blob, firmware_blobs),
        initramfs=initramfs_blob,
        squashfs=squashfs_blob,
        firmware=firmware_blobs,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        sha512=sha512,
    )
    save_record(state_dir, record)
    progress("done", 1.0)
    return record


def _native_python(scratch: Path, sources: Sequence[str]) -> Path:
    """A tree of this host's architecture that holds the same Python, to compile and to bundle with."""
    native, archive = scratch / "native", scratch / "native.tar"
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise KedgeError(
            "layer0.host_arch",
            f"layer0 cannot be built on {platform.machine()}",
            why="the host must be one of " + ", ".join(ARCHITECTURES),
            next_step="Build it on another machine and copy its blobs and record",
        )
    packages.extract(
        packages.PYTHON_PACKAGES, architecture, archive, sources=sources, scratch=scratch
    )
    tree.unpack(archive, native)
    archive.unlink()
    return native


def _newest_s(archive: Path) -> int:
    """The time of the newest file of the packages: it depends on nothing but them."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdecimal():
        return int(given)
    with tarfile.open(archive) as tar:
        return int(max(m.mtime for m in tar if m.isfile() and "/doc/" in m.name))


def _squash(root: Path, target: Path, epoch_s: int) -> None:
    if shutil.which("mksquashfs") is None:
        raise KedgeError(
            "layer0.mksquashfs_missing",
            "layer0 cannot be packed",
            why="mksquashfs is not installed",
            next_step="Type: apt-get install squashfs-tools",
        )
    command = ["mksquashfs", str(root), str(target), "-all-root", "-no-xattrs", "-noappend"]
    run = subprocess.run(
        [*command, "-quiet", "-no-progress", *_SQUASHFS],
        env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch_s)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if run.returncode != 0:
        raise KedgeError(
            "layer0.squashfs",
            "layer0 could not be packed",
            where=str(target),
            why=run.stderr.strip()[-400:],
            next_step="Check the free space of the state directory, then build again",
        )
