"""Whether the programs that Kedge runs are installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kedge.cli.checks.finding import Finding, bad, good, note

if TYPE_CHECKING:
    from kedge.master.process.settings import Settings

PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"

PROGRAMS = (
    ("skopeo", "skopeo", "to bring images from a registry"),
    ("sqfstar", "squashfs-tools", "to convert images' layers"),
    ("mksquashfs", "squashfs-tools", "to build layer0"),
    ("zstd", "zstd", "to unpack images' layers and kernels"),
    ("mmdebstrap", "mmdebstrap", "to build layer0"),
)
KEA = ("kea-dhcp4", "kea-dhcp4-server", "to answer DHCP")
TFTP = ("in.tftpd", "tftpd-hpa", "to serve firmware that cannot boot over HTTP")
SETPRIV = ("setpriv", "util-linux", "to run Kea and TFTP with few rights")


def check_programs(settings: Settings) -> Iterator[Finding]:
    """One finding a program."""
    boot = settings.sections.get("boot", {})
    wanted = list(PROGRAMS)
    if boot.get("dhcp", "kea") == "kea":
        wanted.append(KEA)
    if boot.get("tftp", True):
        wanted.append(TFTP)
    if KEA in wanted or TFTP in wanted:
        wanted.append(SETPRIV)
    for program, package, why in wanted:
        found = shutil.which(program, path=PATH)
        if found:
            yield good("program", f"{program} is {found}")
        else:
            yield bad("program", f"{program} is missing, {why}", f"apt-get install {package}")
    if not shutil.which("ss", path=PATH):
        yield note("program", "ss is missing, to see who has a port", "apt-get install iproute2")
