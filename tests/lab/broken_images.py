"""Images that are like the lab's own but for one layer on top, which breaks them."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from cluster import REGISTRY, Cluster

LAYOUTS = Path("/var/cache/kedge/images/layouts")
DEAD_INIT = {"usr/sbin/init": "-> /usr/bin/false"}
"""The init ends at once, so that the kernel panics."""

HANGING_UNIT = {
    "etc/systemd/system/hangs.service": """\
[Unit]
Description=Waits for what never comes
Before=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sleep infinity
TimeoutStartSec=infinity
""",
    "etc/systemd/system/multi-user.target.wants/hangs.service": "-> ../hangs.service",
}
"""The system boots and never reaches multi-user.target."""


def push_broken(cluster: Cluster, image: str, version: str, files: Mapping[str, str]) -> None:
    """Push version 1 of an example image with these files on top, as another version. A text that begins
    with ``->`` is a link."""
    layout = cluster.home / f"broken-{version}"
    shutil.copytree(LAYOUTS / f"{image}-1-a", layout)
    layer = layout.with_suffix(".tar")
    with tarfile.open(layer, "w") as packed:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            if text.startswith("-> "):
                entry.type, entry.linkname = tarfile.SYMTYPE, text.removeprefix("-> ")
                packed.addfile(entry)
                continue
            entry.size = len(text.encode())
            packed.addfile(entry, io.BytesIO(text.encode()))
    source = f"{layout}:1"
    command = ["umoci", "--log=error", "raw", "add-layer", "--image", source, str(layer)]
    subprocess.run(command, check=True)
    cluster.copy_image(f"oci:{source}", f"docker://{REGISTRY}/{image}:{version}")
