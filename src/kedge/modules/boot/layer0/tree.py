"""Turn the tar of extracted packages into layer0's tree: pruned, with the agent in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import kedge
from kedge.lib.errors import KedgeError
from kedge.modules.boot.layer0.pruning import DROPPED, PROGRAMS

_FIRMWARE = ("undionly.kpxe", "snponly.efi", "ipxe-arm64.efi")
_AGENT_PARTS = ("agent", "sync", "lib")
_SITE_PACKAGES = Path("usr/lib/python3/dist-packages")
_MERGED = ("bin", "sbin", "lib", "lib64")
_MOUNT_POINTS = ("proc", "sys", "dev", "run", "tmp")


def unpack(archive: Path, tree: Path) -> None:
    """Unpack what layer0 needs into ``tree``.

    Needs no privilege: owners and device nodes are left out, as all of layer0 belongs to root.
    """
    excluded = [f"--exclude=./{path}" for path in DROPPED]
    _tar(archive, tree, *excluded, "--exclude=*.a", "--exclude=__pycache__")
    for folder in (tree / "usr/bin", tree / "usr/sbin"):
        for program in folder.iterdir() if folder.is_dir() else ():
            if not program.name.startswith(PROGRAMS):
                program.unlink()


def unpack_firmware(archive: Path, target: Path) -> list[str]:
    """Unpack iPXE's firmware files into ``target`` and return their names."""
    _tar(archive, target, "--strip-components=4", *(f"./usr/lib/ipxe/{n}" for n in _FIRMWARE))
    return sorted(path.name for path in target.iterdir())


def finish(tree: Path, architecture_triplet: str) -> None:
    """Add the merged-usr links, the mount points and the agent; drop stale bytecode."""
    for name in _MERGED:
        if (tree / "usr" / name).is_dir() and not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    for name in _MOUNT_POINTS:
        (tree / name).mkdir(mode=0o755, exist_ok=True)
    (tree / "etc" / "ld.so.conf").write_text(
        f"/usr/local/lib/{architecture_triplet}\n/usr/lib/{architecture_triplet}\n/usr/lib\n"
    )
    _add_links(tree)
    add_agent(tree)


def add_agent(tree: Path) -> None:
    """Copy the agent and the floors it stands on, and nothing else of Kedge."""
    source = Path(kedge.__file__).parent
    keeper = tree / "usr/lib/kedge/keep-agent"
    keeper.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "modules/boot/layer0/keep-agent", keeper)
    target = tree / _SITE_PACKAGES / "kedge"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "__init__.py", target / "__init__.py")
    for part in _AGENT_PARTS:
        shutil.copytree(
            source / part,
            target / part,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyi"),
            dirs_exist_ok=True,
        )


def link_cache(tree: Path) -> None:
    """Write the loader's cache, so that programs start without searching; works for any arch."""
    program = shutil.which("ldconfig") or "/sbin/ldconfig"
    subprocess.run([program, "-X", "-r", str(tree)], check=False, capture_output=True, timeout=60)
    for stale in ("var/cache/ldconfig", "etc/ld.so.cache~"):
        shutil.rmtree(tree / stale, ignore_errors=True)


def set_times(tree: Path, epoch_s: int) -> None:
    """Give every file one time, so that the same content packs to the same bytes."""
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            os.utime(Path(folder) / name, (epoch_s, epoch_s), follow_symlinks=False)
    os.utime(tree, (epoch_s, epoch_s))


def _add_links(tree: Path) -> None:
    sh = tree / "usr/bin/sh"
    if not sh.exists() and not sh.is_symlink():
        sh.symlink_to("busybox")


def _tar(archive: Path, target: Path, *arguments: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    command = ["tar", "--extract", "--file", str(archive), "--directory", str(target)]
    command += ["--no-same-owner", "--same-permissions", "--wildcards", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if run.returncode != 0:
        raise KedgeError(
            "layer0.unpack",
            "the packages could not be unpacked",
            where=str(target),
            why=run.stderr.strip()[-400:],
            next_step="Check the free space of the state directory, then build again",
        )
