"""Network boot firmware (iPXE) by file name, out of the layer0 records of all architectures."""

from __future__ import annotations

import re
from pathlib import Path

from kedge.lib.errors import KedgeError
from kedge.modules.boot.layer0.record import ARCHITECTURES, load_record, record_path
from kedge.modules.boot.records import blob_path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def firmware_files(state_dir: Path) -> dict[str, Path]:
    """File name -> blob, of what is built and there; damaged records count as not built."""
    found: dict[str, Path] = {}
    for arch in sorted(ARCHITECTURES):
        if not record_path(state_dir, arch).exists():
            continue
        try:
            record = load_record(state_dir, arch)
        except KedgeError:
            continue
        for name, digest in record.firmware.items():
            path = blob_path(state_dir, digest)
            if NAME.fullmatch(name) and path is not None and path.exists():
                found.setdefault(name, path)
    return found
