"""A lab as its one YAML file describes it: networks, a registry, machines and their BMCs."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import msgspec

FIRMWARES = ("bios", "uefi", "uefi-http")
ARCHES = ("x86_64", "aarch64")
PROTOCOLS = ("ipmi", "redfish")
ACCELERATORS = ("tcg", "kvm")
NIC_ROMS = ("ipxe", "none")


class Bmc(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's management controller: its protocol and its own address on the BMC network."""

    protocol: str
    address: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual machine; ``bmc`` is None for one that only the lab itself can switch."""

    name: str
    mac: str
    arch: str = "x86_64"
    firmware: str = "bios"
    nic_rom: str = "ipxe"
    memory_mb: int = 1100
    cpus: int = 1
    disks_gb: tuple[int, ...] = ()
    bmc: Bmc | None = None


class Networks(msgspec.Struct, frozen=True, kw_only=True):
    """The head's own address, with its prefix, on each of the lab's two networks."""

    provision: str = "10.77.0.1/16"
    bmc: str = "10.78.0.1/16"

    @property
    def head(self) -> str:
        """The head's address on the provision network, without its prefix."""
        return str(ipaddress.ip_interface(self.provision).ip)


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """An OCI registry at the head's address; ``directory`` keeps its contents after ``down``."""

    enabled: bool = True
    port: int = 5000
    directory: str | None = None


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user's name and password; without a password one is made when the lab comes up."""

    username: str = "admin"
    password: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=***)"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The whole lab."""

    name: str
    machines: tuple[Machine, ...]
    networks: Networks = Networks()
    registry: Registry = Registry()
    bmc_credentials: Credentials = Credentials()
    accelerator: str = "tcg"

    @property
    def namespace(self) -> str:
        """The name of the lab's network namespace."""
        return f"kedge-{self.name}"

    def machine(self, name: str) -> Machine | None:
        """The machine of that name, or None."""
        return next((machine for machine in self.machines if machine.name == name), None)

    def save(self, path: Path) -> None:
        """Keep the description, readable by this user only (it may hold a password)."""
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)))


def load_saved(path: Path) -> Description:
    """The description that `Description.save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Description)
