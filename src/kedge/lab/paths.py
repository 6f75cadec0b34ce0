"""Where a lab keeps what: its run directory below /run/kedge-lab, and bulk below /var/lib."""

from __future__ import annotations

import os
from pathlib import Path

RUN_ROOT = Path("/run/kedge-lab")
BULK_ROOT = Path("/var/lib/kedge-lab")


class Paths:
    """The files of one lab; all directories are for this user only (0700)."""

    def __init__(self, name: str) -> None:
        self.run = RUN_ROOT / name
        self.bulk = BULK_ROOT / name
        self.description = self.run / "description.json"
        self.socket = self.run / "lab.sock"
        self.log = self.run / "lab.log"
        self.secrets = self.run / "secrets.yaml"
        self.authority = self.run / "ca.pem"
        self.registry_ca = self.run / "registry-ca.pem"
        self.registry_auth = self.run / "registry-auth.json"
        self.faults = self.run / "faults.json"
        self.lock = RUN_ROOT / f"{name}.lock"

    def machine(self, name: str) -> Path:
        """The directory of one machine: console.log, qemu.log, its QMP socket, its NVRAM."""
        return private(self.run / "machines" / name)

    def bmc(self, name: str) -> Path:
        """The directory of one machine's BMC."""
        return private(self.run / "bmcs" / name)

    def console(self, name: str) -> Path:
        """What the machine wrote to its serial console, over all its boots."""
        return self.run / "machines" / name / "console.log"

    def disk(self, name: str, number: int) -> Path:
        """The raw image of a machine's disk."""
        return self.bulk / f"{name}-disk{number}.raw"


def private(directory: Path) -> Path:
    """Make ``directory`` (and its parents) with mode 0700 where missing."""
    for missing in reversed([d for d in (directory, *directory.parents) if not d.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    return directory


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` at once by a file of mode 0600 that holds ``text``."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
    fresh.replace(path)
