"""What the machine is: processors, memory, architecture, serial number, disks, network cards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd")


def read_facts(sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> dict[str, Any]:
    """Everything that can be read from the kernel; what it does not know is left out."""
    system = os.uname()
    facts: dict[str, Any] = {
        "arch": system.machine,
        "kernel": system.release,
        "cpus": os.cpu_count() or 1,
        "memory_bytes": _memory_bytes(proc),
        "boot_id": _text(proc / "sys/kernel/random/boot_id"),
        "vendor": _text(sys / "class/dmi/id/sys_vendor"),
        "product": _text(sys / "class/dmi/id/product_name") or _text(proc / "device-tree/model"),
        "serial": _text(sys / "class/dmi/id/product_serial")
        or _text(proc / "device-tree/serial-number"),
        "uuid": _text(sys / "class/dmi/id/product_uuid"),
        "disks": _disks(sys),
        "macs": _macs(sys),
    }
    return {name: value for name, value in facts.items() if value not in ("", None)}


def _memory_bytes(proc: Path) -> int | None:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _disks(sys: Path) -> list[dict[str, Any]]:
    disks: list[dict[str, Any]] = []
    for path in _children(sys / "block"):
        size = _text(path / "size")
        if path.name.startswith(_VIRTUAL_DISKS) or size in ("", "0"):
            continue
        disk = {"name": path.name, "size_bytes": int(size) * 512}
        model = _text(path / "device/model")
        disks.append(disk | ({"model": model} if model else {}))
    return disks


def _macs(sys: Path) -> list[str]:
    cards = [path for path in _children(sys / "class/net") if (path / "device").exists()]
    return sorted(mac for mac in (_text(card / "address") for card in cards) if mac)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
