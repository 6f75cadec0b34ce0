"""Whether the ports that Kedge serves on are free."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kedge.cli.checks.finding import Finding, bad, good, note

if TYPE_CHECKING:
    from kedge.master.process.settings import Settings

UDP = socket.SOCK_DGRAM
TCP = socket.SOCK_STREAM


def check_ports(settings: Settings, *, serving: bool) -> Iterator[Finding]:
    """One finding a port; while Kedge itself serves, the ports are its own."""
    if serving:
        yield good("ports", "Kedge serves on them")
        return
    boot = settings.sections.get("boot", {})
    wanted = [(settings.sync_port, UDP, "agents' reports")]
    http_port = boot.get("http_port", 8080)
    if isinstance(http_port, int):
        wanted.append((http_port, TCP, "boot files"))
    if boot.get("dhcp", "kea") == "kea":
        wanted.append((67, UDP, "DHCP"))
    if boot.get("tftp", True):
        wanted.append((69, UDP, "TFTP"))
    for port, kind, what in wanted:
        yield check_port(port, kind, what)


def check_port(port: int, kind: socket.SocketKind, what: str) -> Finding:
    """Whether a port can be had on all addresses."""
    name = f"{port}/{'udp' if kind == UDP else 'tcp'}"
    with socket.socket(socket.AF_INET, kind) as sock:
        if kind == TCP:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", port))
        except PermissionError:
            return note(
                "port", f"{name} ({what}) cannot be tried by this user", "sudo kedge doctor"
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return note("port", f"{name} ({what}): {error.strerror}")
            flags = "-ulpn" if kind == UDP else "-tlpn"
            return bad(
                "port", f"{name} ({what}) is taken by another program",
                f"Find it and stop it: ss {flags} 'sport = :{port}'",
            )  # fmt: skip
    return good("port", f"{name} ({what}) is free")


def configured_interface(settings: Settings) -> str:
    """The provision network's interface as configured (empty: none is)."""
    return str(settings.sections.get("boot", {}).get("interface") or "")


def interface_exists(name: str) -> bool:
    """Whether this machine (this network namespace) has the interface."""
    return Path("/sys/class/net", name).exists() or name in {n for _, n in socket.if_nameindex()}
