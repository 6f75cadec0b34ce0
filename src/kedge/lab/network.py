"""The lab's network: one namespace with two bridges and a tap for each machine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from pyroute2 import IPRoute, netns

from kedge.lab.description import Description
from kedge.lib.errors import KedgeError

PROVISION = "prov"
BMC = "bmc"
# Fixed, or a bridge takes its ports' lowest address and every power-on would spoil ARP caches.
BRIDGE_MACS = {PROVISION: "02:6b:65:64:67:01", BMC: "02:6b:65:64:67:02"}
CLONE_NEWNET = 0x40000000
EEXIST = 17


def path_of(namespace: str) -> Path:
    """The file that names the namespace, as ``ip netns`` keeps it."""
    return Path("/run/netns") / namespace


def exists(namespace: str) -> bool:
    """Whether the namespace is there and can be entered."""
    return path_of(namespace).is_file() and path_of(namespace).stat().st_dev != _run_device()


def _run_device() -> int:
    return Path("/run").stat().st_dev


def tap_name(index: int, machine: str) -> str:
    """The tap of a machine: after its name where that fits into an interface's 15 characters."""
    return f"tap-{machine}" if len(machine) <= 11 else f"tap{index}"


def enter(namespace: str) -> None:
    """Move the calling thread (call it before there are others) into the namespace."""
    try:
        descriptor = os.open(path_of(namespace), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KedgeError(
            "lab.not_up",
            f"there is no network namespace {namespace}",
            next_step="Bring the lab up: kedge lab up FILE",
        ) from error
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise KedgeError(
                "lab.namespace",
                f"cannot enter the network namespace {namespace}",
                why=os.strerror(number),
                next_step="Run it as root",
            )
    finally:
        os.close(descriptor)


def create(namespace: str) -> None:
    """Make the namespace unless it is there."""
    if not exists(namespace):
        path_of(namespace).unlink(missing_ok=True)
        netns.create(namespace)


def remove(namespace: str) -> None:
    """Take the namespace away, if it is there; its links go with its last process."""
    if path_of(namespace).exists():
        netns.remove(namespace)


def build(description: Description) -> None:
    """Make every link and address of the lab in the namespace this process is in; idempotent."""
    _disable_ipv6_waits()
    with IPRoute() as route:
        present = {link.get("ifname"): link["index"] for link in route.get_links()}
        route.link("set", index=present["lo"], state="up")
        for bridge, address in (
            (PROVISION, description.networks.provision),
            (BMC, description.networks.bmc),
        ):
            if bridge not in present:
                route.link(
                    "add",
                    ifname=bridge,
                    kind="bridge",
                    address=BRIDGE_MACS[bridge],
                    br_forward_delay=0,
                    br_stp_state=0,
                    br_mcast_snooping=0,
                )
            index = route.link_lookup(ifname=bridge)[0]
            _add_address(route, index, address)
            _carrier(route, bridge, index, present)
            route.link("set", index=index, state="up")
        prefix = description.networks.bmc.partition("/")[2]
        for machine in description.machines:
            if machine.bmc is not None:
                index = route.link_lookup(ifname=BMC)[0]
                _add_address(route, index, f"{machine.bmc.address}/{prefix}")
        _taps(route, description, present)


def _disable_ipv6_waits() -> None:
    """No duplicate detection: the router's address must be usable at once."""
    for kind in ("default", "all"):
        Path(f"/proc/sys/net/ipv6/conf/{kind}/accept_dad").write_text("0")


def _add_address(route: IPRoute, index: int, address: str) -> None:
    ip, _, prefix = address.partition("/")
    _unless_there(lambda: route.addr("add", index=index, address=ip, prefixlen=int(prefix)))


def _carrier(route: IPRoute, bridge: str, index: int, present: dict[str, int]) -> None:
    """Give the bridge one port that is always up, so that servers can bind before any machine."""
    inner, outer = f"{bridge}-up", f"{bridge}-up-peer"
    if inner not in present:
        route.link("add", ifname=inner, kind="veth", peer={"ifname": outer})
    ends = [route.link_lookup(ifname=name)[0] for name in (inner, outer)]
    route.link("set", index=ends[0], master=index)
    for name, end in zip((inner, outer), ends, strict=True):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        route.link("set", index=end, state="up")


def _taps(route: IPRoute, description: Description, present: dict[str, int]) -> None:
    bridge = route.link_lookup(ifname=PROVISION)[0]
    for number, machine in enumerate(description.machines):
        name = tap_name(number, machine.name)
        if name not in present:
            route.link("add", ifname=name, kind="tuntap", mode="tap")
        index = route.link_lookup(ifname=name)[0]
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        route.link("set", index=index, master=bridge, state="up")


def _unless_there(action: Callable[[], object]) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        action()
    except NetlinkError as error:
        if error.code != EEXIST:
            raise
