"""The QEMU command lines: what was found to work for each firmware."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path

import pytest

from kedge.lab import qemu
from kedge.lab.description import Machine

HOME = Path("/run/kedge-lab/x/machines/n1")


def words(accelerator: str = "tcg", once: str | None = None, **changes: object) -> list[str]:
    machine = Machine(**{"name": "n1", "mac": "52:54:00:77:00:01", **changes})  # type: ignore[arg-type]
    try:
        return qemu.command(
            machine,
            lab="x",
            accelerator=accelerator,
            tap="tap-n1",
            home=HOME,
            disks=[Path(f"/disk{n}") for n, _ in enumerate(machine.disks_gb)],
            once=once,
        )
    except qemu.KedgeError as error:
        pytest.skip(str(error))


def option(command: list[str], name: str) -> list[str]:
    return [value for flag, value in itertools.pairwise(command) if flag == name]


def test_a_bios_machine_is_emulated_without_cx16_and_talks_to_its_serial_port() -> None:
    command = words()
    assert option(command, "-machine") == ["pc,graphics=off"]
    assert option(command, "-accel") == ["tcg"]
    assert option(command, "-cpu") == ["qemu64,-cx16"]
    assert option(command, "-m") == ["1100"]
    assert "romfile" not in " ".join(command)
    assert f"path={HOME}/console.log,append=on" in option(command, "-chardev")[0]
    assert "virtio-rng-pci" in option(command, "-device")


def test_a_uefi_machine_has_firmware_and_nvram_of_its_own() -> None:
    command = words(firmware="uefi")
    flash = option(command, "-drive")
    assert option(command, "-machine") == ["q35,graphics=off"]
    assert "readonly=on" in flash[0]
    assert "OVMF_CODE" in flash[0]
    assert str(HOME / "nvram.fd") in flash[1]
    assert not any("IPv4PXESupport" in value for value in option(command, "-fw_cfg"))


def test_http_boot_leaves_the_firmware_nothing_else() -> None:
    command = words(firmware="uefi-http")
    assert "name=opt/org.tianocore/IPv4PXESupport,string=n" in option(command, "-fw_cfg")
    assert any(device.endswith("romfile=") for device in option(command, "-device"))


def test_a_card_without_a_rom_leaves_pxe_to_the_firmware() -> None:
    assert any(d.endswith("romfile=") for d in option(words(nic_rom="none"), "-device"))


def test_an_arm_machine_is_always_emulated() -> None:
    command = words(accelerator="kvm", arch="aarch64", firmware="uefi")
    assert command[0].endswith("qemu-system-aarch64")
    assert option(command, "-accel") == ["tcg"]
    assert option(command, "-cpu") == ["cortex-a57"]
    assert "AAVMF" in option(command, "-drive")[0]


@pytest.mark.parametrize(("once", "nic", "disk"), [(None, 10, 20), ("disk", 10, 1), ("pxe", 1, 20)])
def test_the_next_boot_device_comes_first(once: str | None, nic: int, disk: int) -> None:
    devices = option(words(once=once, disks_gb=(1, 1)), "-device")
    assert any("virtio-net" in d and f"bootindex={nic}" in d for d in devices)
    assert any("id=disk0" in d and d.endswith(f"bootindex={disk}") for d in devices)
    assert any("id=disk1" in d and d.endswith("bootindex=21") for d in devices)


def test_a_uuid_is_stable_and_never_shared() -> None:
    assert qemu.machine_uuid("a", "n1") == qemu.machine_uuid("a", "n1")
    every = {qemu.machine_uuid(lab, name) for lab in "ab" for name in ("n1", "n2")}
    assert len(every) == 4
    assert all(str(uuid.UUID(one)) == one for one in every)
