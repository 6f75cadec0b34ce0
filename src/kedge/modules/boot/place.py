"""Where the head stands on the provision network, and what of booting it serves there."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from kedge.lib.errors import KedgeError
from kedge.modules.port import Io
from kedge.site.model import Network, Site

ANY_PORT = 9
STRANGERS = 15
"""Addresses kept for machines in no file, where nothing else is said."""


class BootSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``boot`` of the head's configuration file; empty texts are found out.

    ``dhcp``: ``kea`` (run by Kedge), ``external`` (a Kea of the site, reached at ``dhcp_socket``, whose
    whole configuration Kedge then writes) or ``off``. ``strangers``: ``auto``, ``none`` or
    ``first-last``. ``parent``: where agents find the head, ``address:port``.
    """

    network: str = "provision"
    address: str = ""
    interface: str = ""
    http_port: int = 8080
    dhcp: Literal["kea", "external", "off"] = "kea"
    dhcp_socket: str = ""
    tftp: bool = True
    router_advertisements: bool = True
    strangers: str = "auto"
    lease_s: int = 86_400
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """The provision network and the head's own address, interface and ports on it."""

    network: ipaddress.IPv4Network
    described: Network
    address: str
    interface: str
    settings: BootSettings

    @property
    def url(self) -> str:
        """Where boot files are served."""
        return f"http://{self.address}:{self.settings.http_port}"

    @property
    def parent(self) -> str:
        """Where agents join."""
        return self.settings.parent or f"{self.address}:8471"


def boot_settings(io: Io) -> BootSettings:
    """The checked section; raises `KedgeError`."""
    try:
        return msgspec.convert(dict(io.settings("boot")), BootSettings)
    except msgspec.ValidationError as error:
        raise KedgeError(
            "boot.settings",
            "the section boot of the configuration file is wrong",
            why=str(error),
            next_step="Valid keys: " + ", ".join(BootSettings.__struct_fields__),
        ) from error


def find_place(site: Site, settings: BootSettings) -> Place:
    """The head's place on the network named in ``settings``; raises `KedgeError`."""
    described = site.networks.get(settings.network)
    if described is None:
        raise KedgeError(
            "boot.no_network",
            f"the site has no network {settings.network!r}",
            next_step="Write networks: {provision: {cidr: ...}} and type kedge apply, "
            "or name another as boot.network",
        )
    network = ipaddress.ip_network(described.cidr, strict=False)
    if not isinstance(network, ipaddress.IPv4Network):
        raise KedgeError(
            "boot.ipv6", f"nodes cannot boot over {described.cidr} yet", next_step="Use IPv4"
        )
    address = settings.address or own_address(network)
    return Place(network, described, address, settings.interface or interface_of(network), settings)


def moved(place: Place) -> KedgeError:
    """The site describes the network otherwise now: a server must begin anew."""
    return KedgeError(
        "boot.moved", f"the network {place.settings.network} was changed; starting again"
    )


def own_address(network: ipaddress.IPv4Network) -> str:
    """This machine's address on ``network``, by asking the routing table; raises `KedgeError`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(network.network_address + 1), ANY_PORT))  # sends nothing
            found = str(probe.getsockname()[0])
        except OSError:
            found = ""
    if found and ipaddress.ip_address(found) in network:
        return found
    raise KedgeError(
        "boot.no_address",
        f"this machine has no address in {network}",
        next_step="Give it one (ip addr add), or set boot.address in the configuration file",
    )


def interface_of(network: ipaddress.IPv4Network) -> str:
    """The interface that ``network`` is directly on; raises `KedgeError`."""
    for line in Path("/proc/self/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, gateway, mask = (int(fields[i], 16).to_bytes(4, "little") for i in (1, 2, 7))
        here = (ipaddress.IPv4Address(destination), ipaddress.IPv4Address(mask))
        if not any(gateway) and here == (network.network_address, network.netmask):
            return fields[0]
    raise KedgeError(
        "boot.no_interface",
        f"no interface of this machine is on {network}",
        next_step="Bring it up with its address, or set boot.interface in the configuration file",
    )


def strangers_pool(
    place: Place, taken: Iterable[str], *, shared: bool = False
) -> tuple[str, str] | None:
    """First and last address for machines in no file; None: they get no address. On a ``shared`` network
    others serve nodes that are strangers here, so nobody gets one unless a range is written.

    Raises `KedgeError` where a configured pool holds an address of a node.
    """
    written = place.settings.strangers
    used = {ipaddress.IPv4Address(address) for address in taken}
    used.add(ipaddress.IPv4Address(place.address))
    if place.described.gateway:
        used.add(ipaddress.IPv4Address(place.described.gateway))
    if written == "none" or (written == "auto" and shared):
        return None
    if written == "auto":
        return _free_range(place.network, used)
    try:
        first, last = (ipaddress.IPv4Address(part.strip()) for part in written.split("-"))
    except ValueError:
        raise KedgeError(
            "boot.settings",
            f"boot.strangers: {written!r} is no range of addresses",
            next_step="Write auto, none, or first-last: 10.77.255.240-10.77.255.254",
        ) from None
    clash = next((address for address in sorted(used) if first <= address <= last), None)
    if clash is not None or first not in place.network or last not in place.network:
        raise KedgeError(
            "boot.settings",
            f"boot.strangers: {written} "
            + (f"holds {clash}" if clash else "is not on the network"),
            next_step=f"Choose addresses of {place.network} that no node has",
        )
    return str(first), str(last)


def _free_range(
    network: ipaddress.IPv4Network, used: set[ipaddress.IPv4Address]
) -> tuple[str, str] | None:
    """The highest run of `STRANGERS` free addresses; none in networks too small to spare them."""
    if network.num_addresses < 8 * STRANGERS:
        return None
    last = network.broadcast_address - 1
    while last - STRANGERS > network.network_address:
        first = last - (STRANGERS - 1)
        clash = max((address for address in used if first <= address <= last), default=None)
        if clash is None:
            return str(first), str(last)
        last = clash - 1
    return None
