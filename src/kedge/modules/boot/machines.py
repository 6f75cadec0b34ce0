"""Who is who on the provision network: nodes by their MAC and by their address."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kedge.core.node import Configuration
from kedge.site.model import Site

MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Machine:
    """A node's interface on the provision network."""

    node: str
    mac: str
    address: str


@dataclass(frozen=True, slots=True)
class Machines:
    """All nodes that can boot here, looked up from either side."""

    by_mac: Mapping[str, Machine]
    by_address: Mapping[str, Machine]


def canonical_mac(text: str) -> str | None:
    """``52:54:00:..`` in lower case, from colons or dashes; None for anything else."""
    mac = text.lower().replace("-", ":")
    return mac if MAC.fullmatch(mac) else None


def machines_of(site: Site, network: str) -> Machines:
    """The nodes that have an address on ``network`` (those without a MAC cannot ask to boot)."""
    by_mac: dict[str, Machine] = {}
    by_address: dict[str, Machine] = {}
    for name, configuration in site.nodes.items():
        machine = _machine(name, configuration, network)
        if machine is not None:
            by_address[machine.address] = machine
            if machine.mac:
                by_mac[machine.mac] = machine
    return Machines(by_mac, by_address)


def _machine(name: str, configuration: Configuration, network: str) -> Machine | None:
    address = configuration.addresses.get(network)
    if not address:
        return None
    mac = canonical_mac(configuration.macs.get(network, "")) or ""
    return Machine(name, mac, str(ipaddress.ip_address(address)))
