"""What the image needs to start as this node: units for the agent, its name, its network.

Everything here is written into a mounted image root or into ``/run``; nothing of it is required to be
in the image, and what the site's host files say always comes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kedge.agent import placing
from kedge.lib.errors import KedgeError
from kedge.lib.host_files import HostFile

LAYER0 = "/run/kedge/layer0"
LOG = "/run/kedge/agent.log"

MOUNT_UNIT = f"""\
[Unit]
Description=Kedge's boot environment
DefaultDependencies=no
SurviveFinalKillSignal=yes
IgnoreOnIsolate=yes

[Mount]
What={LAYER0}.squashfs
Where={LAYER0}
Type=squashfs
Options=ro,loop
"""

AGENT_UNIT = f"""\
[Unit]
Description=Kedge's agent
DefaultDependencies=no
SurviveFinalKillSignal=yes
IgnoreOnIsolate=yes
StartLimitIntervalSec=0
Requires=run-kedge-layer0.mount
After=run-kedge-layer0.mount multi-user.target
Conflicts=reboot.target kexec.target poweroff.target halt.target
Before=reboot.target kexec.target poweroff.target halt.target

[Service]
ExecStart={LAYER0}/usr/bin/busybox sh {LAYER0}/usr/lib/kedge/keep-agent
StandardOutput=append:{LOG}
StandardError=append:{LOG}
Restart=always
RestartSec=2
KillMode=mixed
OOMScoreAdjust=-900
"""

_NETWORK_UNIT = """\
# Written by Kedge: the address of the provision network stays while networkd restarts.
[Match]
MACAddress={mac}

[Network]
DHCP=yes
KeepConfiguration=dynamic-on-stop

[DHCPv4]
ClientIdentifier=mac
SendRelease=no
"""

_HANDOVER = "kedge/handover"
_INITS = ("/sbin/init", "/etc/init", "/bin/init", "/lib/systemd/systemd")
_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")


class Init(NamedTuple):
    """The image's first program, and whether it is systemd."""

    path: str
    is_systemd: bool


def find_init(root: str) -> Init:
    """Find the image's init; raises `KedgeError` when there is none."""
    is_systemd = any(placing.exists(root, path) for path in _SYSTEMD)
    for path in _INITS:
        if placing.exists(root, path):
            return Init(path, is_systemd)
    raise KedgeError(
        "image.no_init",
        "the image holds nothing that could be started",
        why="none of " + ", ".join(_INITS) + " is in it",
        next_step="Put systemd (or another init) into the image",
    )


def identity_files(
    root: str, node: Mapping[str, Any], mac: str, listed: frozenset[str]
) -> list[HostFile]:
    """The host's name, its machine id and its name servers, unless the site's files set them."""
    name = str(node.get("hostname") or node.get("name") or "")
    files: list[HostFile] = []
    if name:
        files.append(HostFile("/etc/hostname", f"{name}\n".encode()))
    files.append(HostFile("/etc/machine-id", f"{machine_id(name, mac)}\n".encode(), 0o444))
    resolv = Path("/run/kedge/resolv.conf")
    if not placing.exists(root, "/etc/resolv.conf") and resolv.exists():
        files.append(HostFile("/etc/resolv.conf", resolv.read_bytes()))
    return [file for file in files if file.path not in listed]


def update_marks(root: str) -> list[HostFile]:
    """Spare a finished image what systemd does after an update (ldconfig, hwdb, catalogs; seconds).

    Only for images whose packages were configured when they were built: they have the loader's cache.
    See ConditionNeedsUpdate= in systemd.unit(5).
    """
    if not placing.exists(root, "/etc/ld.so.cache"):
        return []
    marks = ("/etc/.updated", "/var/.updated")
    return [HostFile(path, b"") for path in marks if not placing.exists(root, path)]


def machine_id(name: str, mac: str) -> str:
    """The same for a node at every boot, so that its journal and leases belong together."""
    return hashlib.sha256(f"kedge machine id {name} {mac}".encode()).hexdigest()[:32]


def network_file(root: str, mac: str, listed: frozenset[str]) -> HostFile | None:
    """A unit for networkd, when the image uses it and neither image nor site configure it."""
    wants = "etc/systemd/system"
    enabled = any(
        placing.exists(root, f"/{wants}/{target}.wants/systemd-networkd.service")
        for target in ("multi-user.target", "sysinit.target", "network-online.target")
    )
    folder = Path(root) / "etc/systemd/network"
    own = any(p.suffix == ".network" for p in folder.iterdir()) if folder.is_dir() else False
    sites = any(path.startswith("/etc/systemd/network/") for path in listed)
    if not enabled or own or sites:
        return None
    content = _NETWORK_UNIT.format(mac=mac).encode()
    return HostFile("/systemd/network/10-kedge.network", content)


def inject_units(run: str) -> None:
    """Write the agent's units below ``run`` (the ``/run`` that the image will find)."""
    for name, content in (
        ("run-kedge-layer0.mount", MOUNT_UNIT),
        ("kedge-agent.service", AGENT_UNIT),
    ):
        placing.place(run, HostFile(f"/systemd/system/{name}", content.encode()))
        link = Path(run) / "systemd/system/sysinit.target.wants" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../{name}")


def tell_init(run: str, init: Init) -> None:
    """Tell the initramfs's ``/init`` what to start and how the agent lives on."""
    keeper = "unit" if init.is_systemd else "kept"
    draft = Path(run) / "kedge/.handover.new"
    draft.write_text(f"init={init.path}\nagent={keeper}\n")
    draft.replace(Path(run) / _HANDOVER)


def is_prepared(run: Path) -> bool:
    """Whether the initramfs was told what to start."""
    return (run / _HANDOVER).exists()
