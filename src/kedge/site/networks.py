"""Reads the networks, and says whether an address may stand for a node on one of them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from kedge.site import words
from kedge.site.leaves import entries
from kedge.site.model import Network
from kedge.site.problems import Place, Problems
from kedge.site.tree import Items, Scalar, Table, Tree

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Range:
    """A network with its bounds as numbers, so that a thousand nodes are checked at once."""

    network: Network
    place: Place
    version: int
    first: int
    last: int
    gateway: int

    def fault(self, address: IpAddress) -> str:
        """Why a node may not have this address, or an empty text."""
        number, name, cidr = int(address), self.network.name, self.network.cidr
        if address.version != self.version or not self.first <= number <= self.last:
            return f"{address} is outside of network {name} ({cidr})"
        if number == self.gateway:
            return f"{address} is the gateway of network {name}"
        if self.last - self.first > 1:
            if number == self.first:
                return f"{address} is the network address of {name} ({cidr})"
            if number == self.last and self.version == 4:
                return f"{address} is the broadcast address of {name} ({cidr})"
        return ""


def read_networks(tree: Tree, problems: Problems) -> dict[str, Range]:
    """Every network that can be read."""
    found: dict[str, Range] = {}
    for name, spec, place in entries(tree, "networks", problems):
        if not words.WORD.fullmatch(name):
            problems.refuse(
                "bad_name", place, f"{name[:80]!r} is no name for a network", next_step=_NAMES
            )
        elif isinstance(spec, Table):
            for key in spec.entries:
                if key not in words.NETWORK_KEYS:
                    problems.unknown("unknown_key", spec.keys[key], "key", key, words.NETWORK_KEYS)
            if network := _read_network(name, spec, place, problems):
                found[name] = network
        else:
            problems.refuse(
                "not_a_mapping",
                place,
                f"network {name} must be a mapping",
                next_step=f"{name}: {{ cidr: 10.77.0.0/16, gateway: 10.77.0.1 }}",
            )
    return found


_NAMES = "Use letters, digits and -, like provision"


def _read_network(name: str, spec: Table, place: Place, problems: Problems) -> Range | None:
    cidr = _cidr(name, spec, problems)
    if cidr is None:
        return None
    gateway = _addresses(name, "gateway", spec, problems)
    if len(gateway) > 1:
        problems.refuse("bad_value", spec.entries["gateway"].place, f"{name}: only one gateway")
    lists = {key: tuple(map(str, _addresses(name, key, spec, problems))) for key in ("dns", "ntp")}
    network = Network(
        name, str(cidr), str(gateway[0]) if gateway else "", lists["dns"], lists["ntp"]
    )
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    checked = Range(network, place, cidr.version, first, last, -1)
    if gateway and (fault := checked.fault(gateway[0])):
        problems.refuse("bad_gateway", spec.entries["gateway"].place, f"gateway: {fault}")
    number = int(gateway[0]) if gateway else -1
    return Range(network, place, cidr.version, first, last, number)


def _cidr(name: str, spec: Table, problems: Problems) -> IpNetwork | None:
    tree = spec.entries.get("cidr")
    if not isinstance(tree, Scalar) or "/" not in tree.raw:
        place = tree.place if tree else spec.place
        problems.refuse(
            "bad_network",
            place,
            f"network {name} needs a cidr",
            next_step="Write it like cidr: 10.77.0.0/16",
        )
        return None
    try:
        network = ipaddress.ip_network(tree.raw, strict=False)
    except ValueError:
        problems.refuse(
            "bad_network",
            tree.place,
            f"{tree.raw[:80]!r} is no network",
            next_step="Write it like 10.77.0.0/16",
        )
        return None
    if name == words.PROVISION and network.version != 4:
        problems.refuse(
            "bad_network",
            tree.place,
            f"network {name} must be IPv4, which firmware boots from",
            next_step="Write it like 10.77.0.0/16",
        )
        return None
    if str(network.network_address) != tree.raw.partition("/")[0]:
        problems.refuse(
            "bad_network",
            tree.place,
            f"{tree.raw} is an address within a network",
            next_step=f"Did you mean {network}?",
        )
    return network


def _addresses(name: str, key: str, spec: Table, problems: Problems) -> list[IpAddress]:
    tree = spec.entries.get(key)
    if tree is None:
        return []
    found: list[IpAddress] = []
    for item in tree.items if isinstance(tree, Items) else (tree,):
        try:
            found.append(ipaddress.ip_address(item.raw if isinstance(item, Scalar) else ""))
        except ValueError:
            problems.refuse(
                "bad_value",
                item.place,
                f"network {name}: {key} must be an IP address",
                next_step="Write it like 10.77.0.1",
            )
    return found
