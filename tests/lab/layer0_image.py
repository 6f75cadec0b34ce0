"""The tiny systemd image that the tests of layer0 boot: Debian trixie, built once and kept."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import lzma
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kedge.lib import cpio
from kedge.lib.kernel_modules import BOOT_MODULES, DRIVER_MODULES
from kedge.modules.boot.layer0.packages import host_sources

CACHE = Path("/var/cache/kedge-test/layer0-image-2")
PACKAGES = "systemd,systemd-sysv,linux-image-cloud-amd64,udev,dbus"
HEAVY = Path("/tmp/kedge-heavy.lock")  # what takes much of a small machine runs one at a time


@dataclass(frozen=True)
class Image:
    """Files in the cache: two layers (bottom first), a kernel and its modules."""

    layers: tuple[Path, Path]
    kernel: Path
    modules: Path
    no_systemd: Path  # a layer with nothing but busybox as init

    def order(self, blobs: Path) -> dict[str, object]:
        """Put the layers into the blobs; the arguments of ``image.activate``."""
        return self.order_of(self.layers, blobs)

    @staticmethod
    def order_of(layers: tuple[Path, ...], blobs: Path) -> dict[str, object]:
        listed = [{"blob": put(blobs, p), "size_bytes": p.stat().st_size} for p in layers]
        digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
        return {"digest": f"sha256:{digest}", "layers": listed}


def put(blobs: Path, path: Path) -> str:
    """Copy a file into the blobs under its digest."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not (blobs / digest).exists():
        shutil.copyfile(path, blobs / digest)
    return f"sha256:{digest}"


def image() -> Image:
    """The image, built on the first use (about a minute)."""
    CACHE.mkdir(parents=True, exist_ok=True)
    built = Image(
        (CACHE / "base.squashfs", CACHE / "top.squashfs"),
        CACHE / "vmlinuz",
        CACHE / "modules.cpio.gz",
        CACHE / "busybox.squashfs",
    )
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "done").exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch, HEAVY.open("w") as heavy:
                fcntl.flock(heavy, fcntl.LOCK_EX)
                _build(built, Path(scratch))
            (CACHE / "done").touch()
    return built


def _build(built: Image, scratch: Path) -> None:
    root = scratch / "root"
    command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "--mode=root"]
    _run(*command, "trixie", str(root), *host_sources())
    (root / "etc/machine-id").write_text("")
    for unit in ("systemd-networkd.service", "systemd-networkd.socket"):
        _run("systemctl", f"--root={root}", "enable", unit)
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
                 "e2scrub_all.timer", "systemd-networkd-wait-online.service"):  # fmt: skip
        _run("systemctl", f"--root={root}", "mask", unit)
    unit = root / "etc/systemd/system/broken.service"
    unit.write_text("[Service]\nType=oneshot\nExecStart=/bin/false\n")
    _run("systemctl", f"--root={root}", "add-wants", "multi-user.target", "broken.service")
    (root / "etc/motd").write_text("the bottom layer\n")
    (version,) = (path.name for path in (root / "usr/lib/modules").iterdir())
    shutil.copyfile(root / f"boot/vmlinuz-{version}", built.kernel)
    built.modules.write_bytes(_pack_modules(root / "usr/lib/modules" / version, version))
    shutil.rmtree(root / "boot")
    _squash(root, built.layers[0])
    top = scratch / "top"
    (top / "etc").mkdir(parents=True)
    (top / "etc/motd").write_text("the top layer\n")
    _squash(top, built.layers[1])
    _squash(_busybox_root(scratch / "busybox"), built.no_systemd)


def _busybox_root(root: Path) -> Path:
    for name in ("bin", "sbin", "etc", "proc", "sys", "dev", "run"):
        (root / name).mkdir(parents=True)
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy(busybox, root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    (root / "sbin/init").symlink_to("../bin/busybox")
    (root / "etc/inittab").write_text(
        "::sysinit:/bin/busybox echo the image without systemd is up\n::askfirst:/bin/sh\n"
    )
    return root


def _squash(root: Path, target: Path) -> None:
    options = ["-noappend", "-quiet", "-no-progress", "-comp", "zstd"]
    _run("mksquashfs", str(root), str(target), *options, "-Xcompression-level", "3", "-b", "1M")


def _pack_modules(folder: Path, version: str) -> bytes:
    needed: dict[str, str] = {}
    lines = dict(line.split(":", 1) for line in (folder / "modules.dep").read_text().splitlines())
    by_name = {Path(p).name.split(".")[0].replace("-", "_"): p for p in lines}
    for name in (*BOOT_MODULES, *DRIVER_MODULES):
        if name in by_name:
            path = by_name[name]
            for each in (path, *lines[path].split()):
                needed[each] = lines[each]
    base = f"lib/modules/{version}"
    listing = "".join(f"{p}:{rest}\n" for p, rest in needed.items()).replace(".ko.xz", ".ko")
    entries = [cpio.file(f"{base}/modules.dep", listing.encode())]
    for name in ("modules.alias", "modules.softdep", "modules.builtin"):
        entries.append(cpio.file(f"{base}/{name}", (folder / name).read_bytes()))
    for path in needed:
        content = lzma.decompress((folder / path).read_bytes())
        entries.append(cpio.file(f"{base}/{path.removesuffix('.xz')}", content))
    return gzip.compress(b"".join(cpio.archive(cpio.with_parents(entries))), 6, mtime=0)


def _run(*command: str) -> None:
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
