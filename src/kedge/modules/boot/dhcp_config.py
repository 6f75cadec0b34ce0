"""Kea's DHCPv4 configuration for a site: one reservation per node, a boot file for every firmware.

Valid for Kea 2.2 (Debian 12) and 2.6 (Debian 13). Which client gets what:

    user class begins with iPXE                      the URL of its script
    PXE, architecture 0x0000 (BIOS)                  undionly.kpxe by TFTP
    PXE, 0x0007, 0x0009 (UEFI x86-64)                snponly.efi by TFTP
    PXE, 0x000b (UEFI arm64)                         ipxe-arm64.efi by TFTP
    vendor class HTTPClient, 0x0010, 0x0013          the same two by HTTP
"""

from __future__ import annotations

from typing import Any

from kedge.modules.boot.machines import Machines
from kedge.modules.boot.place import Place

Json = dict[str, Any]

QUEUE = 20_000
"""Packets that may wait: thousands of nodes ask in the same second."""
STRANGER_LEASE_S = 600
SOCKET_RETRIES, SOCKET_RETRY_MS = 100, 200
IPXE_OPTIONS = 175
NO_PXEDHCP = 176

IPXE = "substring(option[77].hex,0,4) == 'iPXE'"
HTTP = "substring(option[60].hex,0,10) == 'HTTPClient'"


def render(
    place: Place, machines: Machines, domain: str, control_socket: str,
    strangers: tuple[str, str] | None,
) -> Json:  # fmt: skip
    """The whole argument of ``config-set``."""
    subnet: Json = {
        "id": 1,
        "subnet": str(place.network),
        "interface": place.interface,
        "option-data": _network_options(place, domain),
        "reservations-in-subnet": True,
        "reservations-out-of-pool": True,
        "reservations": [
            {"hw-address": machine.mac, "ip-address": machine.address, "hostname": machine.node}
            for machine in machines.by_mac.values()
        ],
        "pools": [
            {"pool": f"{first} - {last}", "client-class": "UNKNOWN"}
            for first, last in ([strangers] if strangers else [])
        ],
    }
    return {
        "Dhcp4": {
            **_server(place, control_socket),
            "option-def": _option_definitions(),
            "client-classes": _classes(place),
            "subnet4": [subnet],
        }
    }


def _server(place: Place, control_socket: str) -> Json:
    lease_s = place.settings.lease_s
    return {
        "interfaces-config": {
            "interfaces": [f"{place.interface}/{place.address}"],
            "dhcp-socket-type": "raw",
            "service-sockets-max-retries": SOCKET_RETRIES,
            "service-sockets-retry-wait-time": SOCKET_RETRY_MS,
        },
        "control-socket": {"socket-type": "unix", "socket-name": control_socket},
        # Nodes have reservations: nothing is lost when leases are forgotten.
        "lease-database": {"type": "memfile", "persist": False},
        "multi-threading": {"enable-multi-threading": True, "packet-queue-size": QUEUE},
        "host-reservation-identifiers": ["hw-address"],
        "match-client-id": False,  # firmware, iPXE and the image each have their own
        "authoritative": True,
        "ddns-send-updates": False,
        "valid-lifetime": lease_s,
        "renew-timer": lease_s // 2,
        "rebind-timer": lease_s * 7 // 8,
        "next-server": place.address,
        "loggers": [
            {
                "name": "kea-dhcp4",
                "severity": "WARN",
                "output_options": [{"output": "stdout", "pattern": "%-5p %m\n"}],
            }
        ],
    }


def _network_options(place: Place, domain: str) -> list[Json]:
    described = place.described
    values = {
        "routers": described.gateway,
        "domain-name-servers": ", ".join(described.dns),
        "ntp-servers": ", ".join(described.ntp),
        "domain-name": domain,
    }
    return [{"name": name, "data": value} for name, value in values.items() if value]


def _option_definitions() -> list[Json]:
    return [
        {"name": "ipxe", "code": IPXE_OPTIONS, "type": "empty", "encapsulate": "ipxe-options"},
        {"name": "no-pxedhcp", "code": NO_PXEDHCP, "type": "uint8", "space": "ipxe-options"},
    ]


def _classes(place: Place) -> list[Json]:
    # netX is the interface that iPXE boots from; iPXE itself puts its MAC in.
    script = f"{place.url}/boot/${{netX/mac}}"
    classes: list[Json] = [
        {
            "name": "kedge-ipxe",
            "test": IPXE,
            "boot-file-name": script,
            "option-data": [
                {"name": "ipxe"},
                {"name": "no-pxedhcp", "space": "ipxe-options", "data": "1"},
            ],
        }
    ]
    for name, number, file in (
        ("bios", "0x0000", "undionly.kpxe"),
        ("uefi-7", "0x0007", "snponly.efi"),
        ("uefi-9", "0x0009", "snponly.efi"),
        ("uefi-arm64", "0x000b", "ipxe-arm64.efi"),
    ):
        test = f"not member('kedge-ipxe') and not ({HTTP}) and option[93].hex == {number}"
        classes.append({"name": f"kedge-{name}", "test": test, "boot-file-name": file})
    for name, number, file in (
        ("http", "0x0010", "snponly.efi"),
        ("http-arm64", "0x0013", "ipxe-arm64.efi"),
    ):
        classes.append(
            {
                "name": f"kedge-{name}",
                "test": f"not member('kedge-ipxe') and {HTTP} and option[93].hex == {number}",
                "boot-file-name": f"{place.url}/firmware/{file}",
                "option-data": [
                    {"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": True}
                ],
            }
        )
    classes.append(
        {
            "name": "kedge-stranger",
            "test": "member('UNKNOWN')",
            "valid-lifetime": STRANGER_LEASE_S,
        }
    )
    return classes
