"""The lab's links: two bridges that always carry, their addresses, and a tap for each machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyroute2 import (  # pyright: ignore[reportMissingTypeStubs]
    IPRoute,
    NetlinkError,
)

from kedge.lab.description import Description

PROVISION = "prov"
BMC = "bmc"
# Fixed, or a bridge takes its ports' lowest address and every power-on would spoil ARP caches.
BRIDGE_MACS = {PROVISION: "02:6b:65:64:67:01", BMC: "02:6b:65:64:67:02"}
EEXIST = 17


def tap_name(index: int, machine: str) -> str:
    """The tap of a machine: after its name where that fits into an interface's 15 characters."""
    return f"tap-{machine}" if len(machine) <= 11 else f"tap{index}"


def build(description: Description) -> None:
    """Make every link and address of the lab in the namespace this process is in; idempotent."""
    for kind in ("default", "all"):
        # No duplicate detection: the router's address must be usable at once.
        _ipv6(kind, "accept_dad", 0)
    with IPRoute() as route:
        links = _Links(route)
        links.route.link("set", index=links.index("lo"), state="up")
        _bridge(links, PROVISION, description.networks.provision)
        _bridge(links, BMC, description.networks.bmc)
        prefix = description.networks.bmc.partition("/")[2]
        for machine in description.machines:
            if machine.bmc is not None:
                links.add_address(BMC, f"{machine.bmc.address}/{prefix}")
        for number, machine in enumerate(description.machines):
            tap = tap_name(number, machine.name)
            links.ensure(tap, kind="tuntap", mode="tap")
            _ipv6(tap, "disable_ipv6", 1)
            links.route.link(
                "set", index=links.index(tap), master=links.index(PROVISION), state="up"
            )


class _Links:
    """The namespace's links, over one netlink socket."""

    def __init__(self, route: Any) -> None:
        self.route = route

    def index(self, name: str) -> int | None:
        """The index of the link ``name``, or None."""
        found = list(self.route.link_lookup(ifname=name))
        return int(found[0]) if found else None

    def ensure(self, name: str, **how: Any) -> None:
        """Make the link unless it is there."""
        if self.index(name) is None:
            self.route.link("add", ifname=name, **how)

    def add_address(self, name: str, address: str) -> None:
        """Give the link an address, such as 10.77.0.1/16, unless it has it."""
        ip, _, prefix = address.partition("/")
        try:
            self.route.addr("add", index=self.index(name), address=ip, prefixlen=int(prefix))
        except NetlinkError as error:
            if error.code != EEXIST:
                raise


def _bridge(links: _Links, name: str, address: str) -> None:
    links.ensure(
        name,
        kind="bridge",
        address=BRIDGE_MACS[name],
        br_forward_delay=0,
        br_stp_state=0,
        br_mcast_snooping=0,
    )
    links.add_address(name, address)
    # One port that is always up gives the bridge a carrier: servers can bind before any machine.
    port, peer = f"{name}-up", f"{name}-up-peer"
    links.ensure(port, kind="veth", peer={"ifname": peer})
    links.route.link("set", index=links.index(port), master=links.index(name))
    for end in (port, peer):
        _ipv6(end, "disable_ipv6", 1)
        links.route.link("set", index=links.index(end), state="up")
    links.route.link("set", index=links.index(name), state="up")


def _ipv6(link: str, setting: str, value: int) -> None:
    Path(f"/proc/sys/net/ipv6/conf/{link}/{setting}").write_text(str(value))
