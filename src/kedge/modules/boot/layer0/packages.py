"""Fetch Debian packages and extract them into a tar, for any architecture, running nothing of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kedge.lib.errors import KedgeError

RELEASE = "trixie"

PYTHON_PACKAGES = (
    "python3",  # the agent
    "python3-cryptography",  # the encryption of the state sync
)
LAYER0_PACKAGES = (
    "busybox-static",  # the initramfs, and a shell in layer0
    "kexec-tools",  # to load the next kernel without a power cycle
    "kmod",  # modules for hardware that the image's kernel announces late
    "libc-bin",  # ldconfig
    *PYTHON_PACKAGES,
    "util-linux",  # losetup, mount, nsenter for a person at the console
    "zstd",
    "ipxe",  # network boot firmware; taken out again as blobs
)

_TIMEOUT_S = 1200
_TAIL_LINES = 12


def host_sources(release: str = RELEASE) -> list[str]:
    """The apt lines of ``release`` at the mirror that this host is configured with."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)"]
    if shutil.which("apt-get") is None:
        raise _no_mirror("apt-get is not installed")
    listing = subprocess.run(
        [*command, "Created-By: Packages"], capture_output=True, text=True, timeout=60, check=False
    )
    mirrors: dict[str, str] = {}
    for line in listing.stdout.splitlines():
        uri, _, label = line.partition(" ")
        mirrors.setdefault(label, uri)
    if "Debian" not in mirrors:
        raise _no_mirror("apt's sources name no Debian mirror (or its lists were never fetched)")
    lines = sources_at(mirrors["Debian"], release)
    if "Debian-Security" in mirrors:
        lines.append(f"deb {mirrors['Debian-Security']} {release}-security main")
    return lines


def sources_at(mirror: str, release: str = RELEASE) -> list[str]:
    """The apt lines of ``release`` at a mirror given by the administrator."""
    return [f"deb {mirror} {release} main", f"deb {mirror} {release}-updates main"]


def extract(
    packages: Sequence[str],
    architecture: str,
    target: Path,
    *,
    sources: Sequence[str],
    scratch: Path,
    release: str = RELEASE,
) -> None:
    """Write a tar of the extracted packages (Debian's ``architecture``) to ``target``.

    Works as any user: mmdebstrap takes root's ways or an unprivileged user namespace by itself.
    Its temporary files lie in ``scratch``.
    """
    if shutil.which("mmdebstrap") is None:
        raise KedgeError(
            "layer0.mmdebstrap_missing",
            "layer0 cannot be built",
            why="mmdebstrap is not installed",
            next_step="Type: apt-get install mmdebstrap",
        )
    command = [
        "mmdebstrap",
        "--variant=extract",
        f"--architectures={architecture}",
        f"--include={','.join(packages)}",
        "--format=tar",
        release,
        str(target),
        *sources,
    ]
    environment = os.environ | {"TMPDIR": str(scratch)}
    try:
        run = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(architecture, f"mmdebstrap took longer than {_TIMEOUT_S} s") from None
    if run.returncode != 0:
        tail = "\n".join(run.stderr.splitlines()[-_TAIL_LINES:])
        raise _failed(architecture, f"mmdebstrap ended with code {run.returncode}:\n{tail}")


def _no_mirror(why: str) -> KedgeError:
    return KedgeError(
        "layer0.no_mirror",
        "no Debian mirror is known",
        why=why,
        next_step="Name one: kedge layer0 build --mirror <url of a Debian mirror>",
    )


def _failed(architecture: str, why: str) -> KedgeError:
    return KedgeError(
        "layer0.packages",
        f"the packages for {architecture} could not be fetched",
        why=why,
        next_step="Check that the mirror is reachable, then build again",
    )
