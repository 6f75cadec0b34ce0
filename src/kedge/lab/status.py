"""What a lab is doing, as ``kedge lab status`` shows it; also when its daemon is gone."""

from __future__ import annotations

from typing import Any

from kedge.lab import control, namespace, processes
from kedge.lab.description import Description
from kedge.lab.paths import Paths


def read(lab: Description) -> dict[str, Any]:
    """The lab and its machines, in the order of the lab's file."""
    paths = Paths(lab.name)
    try:
        seen = control.ask(paths.socket, "status")
    except control.NoDaemon:
        seen = _without_daemon(lab)
    machines: list[dict[str, Any]] = []
    for described in lab.machines:
        bmc = described.bmc
        live = seen["machines"][described.name]
        machines.append(
            {
                "name": described.name,
                "arch": described.arch,
                "firmware": described.firmware,
                "mac": described.mac,
                **live,
                "bmc": None
                if bmc is None
                else {"protocol": bmc.protocol, "address": bmc.address, "state": live["bmc"]},
            }
        )
    return {
        "name": lab.name,
        "namespace": lab.namespace,
        "up": seen["daemon"] is not None and namespace.exists(lab.namespace),
        "daemon": seen["daemon"],
        "registry": seen["registry"],
        "secrets": str(paths.secrets),
        "machines": machines,
    }


def _without_daemon(lab: Description) -> dict[str, Any]:
    found = processes.find(lab.name)
    machines: dict[str, Any] = {}
    for described in lab.machines:
        process = found.get(f"machine-{described.name}")
        machines[described.name] = {
            "power": "off" if process is None else "on",
            "pid": None if process is None else process.pid,
            "memory_bytes": 0 if process is None else process.memory_bytes(),
            "uptime_s": 0.0 if process is None else round(process.uptime_s(), 1),
            "next_boot": "none",
            "bmc": None if described.bmc is None else "down",
            "faults": [],
        }
    return {"daemon": None, "registry": None, "machines": machines}
