"""Whether this machine can hold a lab at all, and what is missing when it cannot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kedge.lab import qemu
from kedge.lab.description import Description
from kedge.lib.errors import KedgeError, KedgeErrors

TUN = Path("/dev/net/tun")
MEMORY = Path("/proc/meminfo")
QEMU_OWN_MB = 200


def warnings(description: Description) -> list[str]:
    """What is likely to go wrong on this machine, though a lab can be made."""
    machines = description.machines
    needed_mb = sum(machine.memory_mb + QEMU_OWN_MB for machine in machines)
    fields = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
    free_mb = int(fields["MemAvailable"].split()[0]) >> 10
    if needed_mb <= free_mb:
        return []
    return [f"all machines on need {needed_mb} MB of memory, {free_mb} MB are free"]


def check(description: Description) -> None:
    """Raise `KedgeError`, naming every thing that is missing."""
    if os.geteuid() != 0:
        raise KedgeError(
            "lab.not_root",
            "a lab needs root: it makes network namespaces and taps",
            next_step="Run it with sudo, or try simulated machines: kedge sim serve",
        )
    errors: list[KedgeError] = []
    if not TUN.exists():
        errors.append(
            KedgeError(
                "lab.no_tun",
                f"{TUN} does not exist, so machines cannot have network cards",
                next_step="Load it: modprobe tun (in a container: pass the device in)",
            )
        )
    for machine in description.machines:
        try:
            qemu.program(machine)
            qemu.firmware(machine)
        except KedgeError as error:
            errors.append(error)
    protocols = {machine.bmc.protocol for machine in description.machines if machine.bmc}
    needed = [("ipmi_sim", "openipmi", "ipmi" in protocols)]
    needed += [
        (name, package, description.registry.enabled)
        for name, package in (
            ("docker-registry", "docker-registry"),
            ("htpasswd", "apache2-utils"),
        )
    ]
    for program, package, wanted in needed:
        if wanted and shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            errors.append(
                KedgeError(
                    "lab.missing_program",
                    f"{program} is not installed",
                    next_step=f"Install it: apt-get install {package}",
                )
            )
    if errors:
        raise errors[0] if len(errors) == 1 else KedgeErrors(errors)
