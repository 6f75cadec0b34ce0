"""What has to be there before a simulated head starts: its address, secrets, and a layer0."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import msgspec

from kedge.lib.errors import KedgeError
from kedge.modules.boot.layer0.record import ARCHITECTURES, Blob, Layer0, digest_of, save_record
from kedge.modules.image.blobs import write_blob
from kedge.sim.services.registry import MEGABYTE
from kedge.site.model import Site

PASSWORD = "right"
LAYER0_BYTES = 45 * MEGABYTE


def head_address(site: Site, network: str) -> str:
    """The head's address: the gateway, or the first address that no node has. Raises `KedgeError`."""
    described = site.networks.get(network)
    if described is None:
        raise KedgeError(
            "sim.no_network", f"the site has no network {network!r}",
            next_step=f"It has: {', '.join(site.networks) or 'none'}",
        )  # fmt: skip
    taken = {node.addresses.get(network) for node in site.nodes.values()}
    if described.gateway and described.gateway not in taken:
        return described.gateway
    hosts = ipaddress.ip_network(described.cidr, strict=False).hosts()
    return next(str(host) for host in hosts if str(host) not in taken)


def secrets_of(site: Site) -> list[str]:
    """The names of the secrets that the site's BMCs need."""
    named: set[str] = set()
    for node in site.nodes.values():
        written = node.values.get("power.bmc")
        if isinstance(written, dict) and written.get("credentials"):
            named.add(str(written["credentials"]))
    return sorted(named)


def prepare(state_dir: Path, secrets: list[str], sizes: dict[str, int]) -> None:
    """A head's state directory with a layer0 for each architecture and the secrets."""
    (state_dir / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    for arch in ARCHITECTURES:
        parts: list[Blob] = []
        for name in ("initramfs", "squashfs"):
            written = write_blob(state_dir, f"{name} of layer0 for {arch}".encode())
            sizes[written.blob] = LAYER0_BYTES
            parts.append(Blob(written.blob, written.size_bytes))
        initramfs, squashfs = parts
        digest = digest_of(initramfs, squashfs, {})
        made = "2026-11-24T09:00:00+00:00"
        save_record(state_dir, Layer0(arch, digest, initramfs, squashfs, {}, made))
    path = state_dir / "secrets.yaml"
    named = {name: {"username": "admin", "password": PASSWORD} for name in secrets}
    path.touch(0o600)
    path.write_bytes(msgspec.json.encode(named))
