"""The QEMU command line of one machine, and the firmware files that it needs."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from kedge.lab.description import Machine
from kedge.lib.errors import KedgeError

LABS = uuid.UUID("5f2d2f0e-6b65-4467-8c61-6c6162000000")
OVMF = (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd"))
AAVMF = (Path("/usr/share/AAVMF/AAVMF_CODE.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd"))
PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    str(OVMF[0]): "ovmf",
    str(AAVMF[0]): "qemu-efi-aarch64",
}
# Boot priorities: lower is tried first. A device asked for once goes before all others.
NIC_INDEX, DISK_INDEX, ONCE_INDEX = 10, 20, 1


def machine_uuid(lab: str, machine: str) -> str:
    """The machine's SMBIOS UUID: the same at every start, different in every lab."""
    return str(uuid.uuid5(LABS, f"{lab}/{machine}"))


def program(machine: Machine) -> str:
    """The path of the QEMU that emulates the machine; raises `KedgeError` (``lab.no_qemu``)."""
    name = f"qemu-system-{machine.arch}"
    found = shutil.which(name, path="/usr/bin:/usr/local/bin:/bin")
    if found is None:
        raise KedgeError(
            "lab.no_qemu",
            f"{name} is not installed",
            where=machine.name,
            next_step=f"Install it: apt-get install {PACKAGES[name]}",
        )
    return found


def firmware(machine: Machine) -> tuple[Path, Path] | None:
    """The UEFI firmware's code and its empty NVRAM; None for BIOS."""
    if machine.firmware == "bios":
        return None
    files = OVMF if machine.arch == "x86_64" else AAVMF
    for file in files:
        if not file.exists():
            raise KedgeError(
                "lab.no_firmware",
                f"the UEFI firmware {file} is not installed",
                where=machine.name,
                next_step=f"Install it: apt-get install {PACKAGES[str(files[0])]}",
            )
    return files


def command(
    machine: Machine,
    *,
    lab: str,
    accelerator: str,
    tap: str,
    home: Path,
    disks: list[Path],
    once: str | None = None,
) -> list[str]:
    """The whole command; ``home`` holds the machine's files, ``once`` is the next boot device."""
    return [
        program(machine),
        *("-name", f"{lab}-{machine.name}"),
        *("-uuid", machine_uuid(lab, machine.name)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *_platform(machine, accelerator),
        *("-m", str(machine.memory_mb), "-smp", str(machine.cpus)),
        *_firmware_flash(machine, home),
        *("-boot", "strict=on,reboot-timeout=5000"),
        *("-netdev", f"tap,id=net0,ifname={tap},script=no,downscript=no"),
        *("-device", _nic(machine, once)),
        *_disks(disks, once),
        *("-device", "virtio-rng-pci"),
        *("-chardev", f"file,id=console,path={home / 'console.log'},append=on"),
        *("-serial", "chardev:console"),
        *("-qmp", f"unix:{home / 'qmp.sock'},server=on,wait=off"),
    ]


def _platform(machine: Machine, accelerator: str) -> list[str]:
    if machine.arch == "aarch64":
        return ["-machine", "virt", "-accel", "tcg", "-cpu", "cortex-a57"]
    chipset = "pc" if machine.firmware == "bios" else "q35"
    # Without cx16: Debian 13's kernel now and then crashes on QEMU 7.2's emulation of it.
    cpu = "host" if accelerator == "kvm" else "qemu64,-cx16"
    return ["-machine", f"{chipset},graphics=off", "-accel", accelerator, "-cpu", cpu]


def _firmware_flash(machine: Machine, home: Path) -> list[str]:
    files = firmware(machine)
    if files is None:
        return []
    arguments = [
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={files[0]}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={home / 'nvram.fd'}"),
        *("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"),
    ]
    if machine.firmware == "uefi-http":
        arguments += ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"]
    return arguments


def _nic(machine: Machine, once: str | None) -> str:
    index = ONCE_INDEX if once == "pxe" else NIC_INDEX
    nic = f"virtio-net-pci,id=nic0,netdev=net0,mac={machine.mac},bootindex={index}"
    # QEMU's own ROM is iPXE for x86; without it the firmware's PXE or HTTP boot is used.
    if machine.firmware == "uefi-http" or machine.nic_rom == "none" or machine.arch == "aarch64":
        nic += ",romfile="
    return nic


def _disks(disks: list[Path], once: str | None) -> list[str]:
    arguments: list[str] = []
    for number, disk in enumerate(disks):
        index = ONCE_INDEX if once == "disk" and number == 0 else DISK_INDEX + number
        arguments += [
            *("-drive", f"if=none,id=drive{number},file={disk},format=raw,discard=unmap"),
            *("-device", f"virtio-blk-pci,id=disk{number},drive=drive{number},bootindex={index}"),
        ]
    return arguments
