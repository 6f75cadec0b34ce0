"""A lab's file: what it may say, and how it is told what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.lab.description import Description, load_saved
from kedge.lab.parsing import load, parse
from kedge.lib.errors import KedgeError, KedgeErrors

EXAMPLE = Path(__file__).parents[3] / "examples" / "01-lab" / "lab.yaml"
SMALL = "name: x\nmachines:\n  n1:\n    mac: 52:54:00:77:00:01\n"


def wrong(text: str) -> list[KedgeError]:
    with pytest.raises(KedgeErrors) as caught:
        parse(text, "lab.yaml")
    return list(caught.value.errors)


def test_the_example_has_four_kinds_of_machines() -> None:
    lab = load(EXAMPLE)
    kinds = [(m.arch, m.firmware, m.bmc.protocol if m.bmc else "") for m in lab.machines]
    assert kinds == [
        ("x86_64", "bios", "ipmi"),
        ("x86_64", "bios", "redfish"),
        ("x86_64", "uefi", "ipmi"),
        ("aarch64", "uefi", "redfish"),
    ]
    assert lab.namespace == "kedge-demo"
    assert lab.networks.head == "10.77.0.1"


def test_a_machine_needs_only_its_mac() -> None:
    machine = parse(SMALL, "lab.yaml").machines[0]
    assert (machine.arch, machine.firmware, machine.bmc) == ("x86_64", "bios", None)
    assert (machine.disks_gb, machine.cpus, machine.nic_rom) == ((), 1, "ipxe")


def test_an_arm_machine_has_uefi_unless_told() -> None:
    text = SMALL + "    arch: aarch64\n"
    assert parse(text, "lab.yaml").machines[0].firmware == "uefi"


@pytest.mark.parametrize(
    ("line", "where", "what", "remedy"),
    [
        ("    firmwar: uefi", "lab.yaml:5", "firmwar", "Did you mean firmware?"),
        ("    firmware: efi", "lab.yaml:5", "'efi'", "bios, uefi, uefi-http"),
        ("    arch: arm", "lab.yaml:5", "'arm'", "x86_64, aarch64"),
        ("    memory_mb: lots", "lab.yaml:5", "'lots'", "from 64"),
        ("    memory_mb: -1", "lab.yaml:5", "'-1'", "from 64"),
        ("    cpus: 0", "lab.yaml:5", "'0'", "from 1 to 64"),
        ("    disks_gb: 4", "lab.yaml:5", "list", "[4, 16]"),
        ("    disks_gb: [0]", "lab.yaml:5", "disks_gb[0]", "from 1"),
        ("    mac: 52:54:00:77:00:02", "lab.yaml:5", "twice", "Remove one"),
        ("    bmc: ipmi", "lab.yaml:5", "mapping", ""),
        ("    bmc: { protocol: ipmi }", "lab.yaml:5", "address", "10.78.0.11"),
        ("    bmc: { protocol: bmc, address: 10.78.0.9 }", "lab.yaml:5", "'bmc'", "ipmi, redfish"),
        ("    bmc: { protocol: ipmi, address: ten }", "lab.yaml:5", "'ten'", "10.78.0.11"),
        ("    bmc: { protocol: ipmi, address: 10.9.0.1 }", "lab.yaml:5", "10.9.0.1", "10.78.0.0"),
        ("    bmc: { protocol: ipmi, address: 10.78.0.1 }", "lab.yaml:5", "10.78.0.1", "other"),
        ("  n2: { mac: 52:54:00:77:00:01 }", "lab.yaml:5", "both", "its own"),
        ("  n2: {}", "lab.yaml:5", "mac is missing", "mac:"),
        ("  N2: { mac: 52:54:00:77:00:02 }", "lab.yaml:5", "'N2'", "n1"),
        ("  n2: { mac: '01:00:00:00:00:02' }", "lab.yaml:5", "01:00", "52:54"),
        ("  n2: { mac: 52-54-00-77-00-02 }", "lab.yaml:5", "52-54", "52:54:00:77:00:01"),
        ("registry: { port: 70000 }", "lab.yaml:5", "70000", "65535"),
        ("registry: { directory: here }", "lab.yaml:5", "'here'", "/var/cache"),
        ("registry: { enabled: maybe }", "lab.yaml:5", "'maybe'", "true, false"),
        ("networks: { provision: 10.77.0.1 }", "lab.yaml:5", "10.77.0.1", "10.77.0.1/16"),
        ("networks: { bmc: 10.77.1.1/24 }", "lab.yaml:5", "overlap", "of their own"),
        ("accelerator: hvf", "lab.yaml:5", "'hvf'", "tcg, kvm"),
        ("bmc_credentials: { username: a b }", "lab.yaml:5", "username", "blanks"),
    ],
)
def test_each_mistake_is_named_with_its_line(line: str, where: str, what: str, remedy: str) -> None:
    first = wrong(SMALL + line + "\n")[0]
    assert first.where == where
    assert what in first.what
    assert remedy in first.next_step


def test_all_mistakes_are_told_at_once() -> None:
    errors = wrong("name: X\ncolour: red\nmachines: { n1: { mac: no } }\n")
    assert [error.code for error in errors] == [
        "lab.unknown_key",
        "lab.bad_value",
        "lab.bad_value",
    ]


def test_a_password_that_cannot_be_used_is_not_shown() -> None:
    errors = wrong(SMALL + "bmc_credentials: { password: 'hunter2 hunter2 hunter2' }\n")
    assert "hunter2" not in str(errors[0])
    assert "20 printable" in errors[0].next_step


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "a: [", "\x00", "name: x\n"])
def test_what_is_no_lab_at_all_is_one_clear_error(text: str) -> None:
    with pytest.raises(KedgeError) as caught:
        parse(text, "lab.yaml")
    assert caught.value.where.startswith("lab.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KedgeError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_a_description_survives_being_saved_privately(tmp_path: Path) -> None:
    lab: Description = load(EXAMPLE)
    path = tmp_path / "description.json"
    lab.save(path)
    assert load_saved(path) == lab
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_password_is_never_in_a_representation() -> None:
    lab = parse(SMALL + "bmc_credentials: { username: op, password: hunter2 }\n", "lab.yaml")
    assert lab.bmc_credentials.password == "hunter2"
    assert "hunter2" not in repr(lab)
