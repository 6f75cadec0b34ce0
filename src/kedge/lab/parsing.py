"""From a lab's YAML file to its `Description`: every key, and what must be unique across them."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import yaml

from kedge.lab import description as lab
from kedge.lab.reader import Reader
from kedge.lib.errors import KedgeError, KedgeErrors

LAB_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
MACHINE_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
ABSOLUTE = re.compile(r"/[^\0]*")
MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")  # never a multicast address

TOP = ("name", "networks", "registry", "bmc_credentials", "accelerator", "machines")
MAX_DISKS = 8
MACHINE = ("mac", "arch", "firmware", "nic_rom", "memory_mb", "cpus", "disks_gb", "bmc")


def parse(text: str, source: str) -> lab.Description:
    """The description in ``text``; raises `KedgeErrors` that name every fault of the file."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise KedgeError("lab.bad_yaml", "this is not YAML", where=where, why=problem) from error
    if root is None:
        raise KedgeError("lab.empty", "the file is empty", where=source)
    reader = Reader(source)
    described = _description(reader, root)
    if reader.errors:
        raise KedgeErrors(reader.errors)
    return described


def load(path: Path) -> lab.Description:
    """The description in the file ``path``."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise KedgeError(
            "lab.unreadable",
            "the lab's file cannot be read",
            where=str(path),
            why=error.strerror or "",
            next_step="Give a lab file: kedge lab up examples/01-lab/lab.yaml",
        ) from error
    except UnicodeDecodeError as error:
        raise KedgeError("lab.bad_yaml", "this is not UTF-8 text", where=str(path)) from error
    return parse(text, str(path))


def _description(reader: Reader, root: yaml.Node) -> lab.Description:
    """The whole file; errors are left in ``reader``."""
    top = reader.mapping(root, "", TOP)
    for missing in [key for key in ("name", "machines") if key not in top]:
        if isinstance(root, yaml.MappingNode):
            reader.refuse(root, "missing_key", f"the key {missing} is missing", f"Add {missing}:")
    networks = _networks(reader, top.get("networks"))
    return lab.Description(
        name=reader.pattern(top.get("name"), "name", LAB_NAME, "demo (at most 20 of a-z, 0-9, -)"),
        machines=_machines(reader, top["machines"], networks) if "machines" in top else (),
        networks=networks,
        registry=_registry(reader, top.get("registry")),
        bmc_credentials=_credentials(reader, top.get("bmc_credentials")),
        accelerator=reader.choice(
            top.get("accelerator"), "accelerator", lab.ACCELERATORS, lab.ACCELERATORS[0]
        ),
    )


def _networks(reader: Reader, node: yaml.Node | None) -> lab.Networks:
    default = lab.Networks()
    if node is None:
        return default
    keys = reader.mapping(node, "networks", ("provision", "bmc"))
    networks = lab.Networks(
        provision=reader.interface(keys.get("provision"), "networks.provision", default.provision),
        bmc=reader.interface(keys.get("bmc"), "networks.bmc", default.bmc),
    )
    one, other = (ipaddress.ip_interface(a).network for a in (networks.provision, networks.bmc))
    if one.overlaps(other):
        reader.refuse(
            node,
            "bad_value",
            f"networks.provision {one} and networks.bmc {other} overlap",
            "Give them ranges of their own, like 10.77.0.1/16 and 10.78.0.1/16",
        )
    return networks


def _registry(reader: Reader, node: yaml.Node | None) -> lab.Registry:
    if node is None:
        return lab.Registry()
    keys = reader.mapping(node, "registry", ("enabled", "port", "directory"))
    directory = reader.pattern(
        keys.get("directory"), "registry.directory", ABSOLUTE, "/var/cache/kedge-lab/registry"
    )
    return lab.Registry(
        enabled=reader.truth(keys.get("enabled"), "registry.enabled", True),
        port=reader.whole(keys.get("port"), "registry.port", (1, 65535), 5000),
        directory=directory or None,
    )


def _credentials(reader: Reader, node: yaml.Node | None) -> lab.Credentials:
    if node is None:
        return lab.Credentials()
    keys = reader.mapping(node, "bmc_credentials", ("username", "password"))
    texts = {key: reader.text(value, f"bmc_credentials.{key}") for key, value in keys.items()}
    for key, limit in (("username", 16), ("password", 20)):
        value = texts.get(key, "ok")
        if not (value.isascii() and value.isprintable() and 0 < len(value) <= limit):
            # The value may be a password, so it is not shown. IPMI 2.0 sets the limits.
            reader.refuse(
                keys[key],
                "bad_value",
                f"bmc_credentials.{key} cannot be used with IPMI",
                f"Use 1 to {limit} printable ASCII characters",
            )
        elif any(character in value for character in "\"\\ '$"):
            reader.refuse(
                keys[key],
                "bad_value",
                f"bmc_credentials.{key} holds a character the BMC simulator cannot take",
                "Avoid blanks, quotes, $ and backslashes",
            )
    return lab.Credentials(username=texts.get("username", "admin"), password=texts.get("password"))


def _machines(reader: Reader, node: yaml.Node, networks: lab.Networks) -> tuple[lab.Machine, ...]:
    machines: list[lab.Machine] = []
    taken: dict[str, str] = {}
    for name, value in reader.mapping(node, "machines", None).items():
        if not MACHINE_NAME.fullmatch(name):
            reader.refuse(value, "bad_value", f"machine name {name!r}", "Write it like n1")
            continue
        machine = _machine(reader, value, name, networks)
        machines.append(machine)
        for what in (machine.mac, machine.bmc.address if machine.bmc else ""):
            if what and what in taken:
                reader.refuse(
                    value,
                    "not_unique",
                    f"machines {taken[what]} and {name} both have {what}",
                    "Give each its own",
                )
            taken.setdefault(what, name)
    if not machines and not reader.errors:
        reader.refuse(node, "missing_key", "machines is empty", "Describe one machine")
    return tuple(machines)


def _machine(reader: Reader, node: yaml.Node, name: str, networks: lab.Networks) -> lab.Machine:
    path = f"machines.{name}"
    keys = reader.mapping(node, path, MACHINE)
    if "mac" not in keys:
        reader.refuse(node, "missing_key", f"{path}.mac is missing", "Add mac: 52:54:00:77:00:01")
    arch = reader.choice(keys.get("arch"), f"{path}.arch", lab.ARCHES, "x86_64")
    firmwares = lab.FIRMWARES if arch == "x86_64" else ("uefi", "uefi-http")
    return lab.Machine(
        name=name,
        mac=reader.pattern(keys.get("mac"), f"{path}.mac", MAC, "52:54:00:77:00:01"),
        arch=arch,
        firmware=reader.choice(keys.get("firmware"), f"{path}.firmware", firmwares, firmwares[0]),
        nic_rom=reader.choice(keys.get("nic_rom"), f"{path}.nic_rom", lab.NIC_ROMS, "ipxe"),
        memory_mb=reader.whole(keys.get("memory_mb"), f"{path}.memory_mb", (64, 1 << 20), 1100),
        cpus=reader.whole(keys.get("cpus"), f"{path}.cpus", (1, 64), 1),
        disks_gb=_disks(reader, keys.get("disks_gb"), path),
        bmc=_bmc(reader, keys["bmc"], path, networks) if "bmc" in keys else None,
    )


def _disks(reader: Reader, node: yaml.Node | None, path: str) -> tuple[int, ...]:
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode) or len(node.value) > MAX_DISKS:
        reader.refuse(
            node,
            "bad_value",
            f"{path}.disks_gb must be a list",
            f"Write it like [4, 16], at most {MAX_DISKS}",
        )
        return ()
    return tuple(
        reader.whole(size, f"{path}.disks_gb[{index}]", (1, 4096), 1)
        for index, size in enumerate(node.value)
    )


def _bmc(reader: Reader, node: yaml.Node, path: str, networks: lab.Networks) -> lab.Bmc:
    keys = reader.mapping(node, f"{path}.bmc", ("protocol", "address"))
    for missing in [key for key in ("protocol", "address") if key not in keys]:
        reader.refuse(
            node,
            "missing_key",
            f"{path}.bmc.{missing} is missing",
            "Write bmc: { protocol: ipmi, address: 10.78.0.11 }",
        )
    address = reader.address(keys.get("address"), f"{path}.bmc.address")
    head = ipaddress.ip_interface(networks.bmc)
    if address and (ipaddress.ip_address(address) not in head.network or address == str(head.ip)):
        reader.refuse(
            keys["address"],
            "bad_value",
            f"{path}.bmc.address is {address}",
            f"Give an address of {head.network} other than {head.ip}",
        )
    return lab.Bmc(
        protocol=reader.choice(keys.get("protocol"), f"{path}.bmc.protocol", lab.PROTOCOLS),
        address=address,
    )
