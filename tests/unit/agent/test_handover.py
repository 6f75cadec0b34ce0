from __future__ import annotations

from pathlib import Path

import pytest

from kedge.agent import handover
from kedge.lib.errors import KedgeError

MAC = "52:54:00:77:00:01"
NODE = {"name": "n1", "hostname": "n1.lab"}


def make(root: Path, *paths: str) -> str:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return str(root)


def test_systemd_is_known_by_its_program(tmp_path: Path) -> None:
    root = make(tmp_path, "usr/lib/systemd/systemd", "usr/sbin/x")
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "sbin").symlink_to("usr/sbin")
    (tmp_path / "usr/sbin/init").symlink_to("/lib/systemd/systemd")
    assert handover.find_init(root) == handover.Init("/sbin/init", True)


def test_another_init_and_none(tmp_path: Path) -> None:
    with pytest.raises(KedgeError) as caught:
        handover.find_init(str(tmp_path))
    assert caught.value.code == "image.no_init"
    assert handover.find_init(make(tmp_path, "sbin/init")) == handover.Init("/sbin/init", False)


def test_an_init_that_leads_out_of_the_image_is_none(tmp_path: Path) -> None:
    (tmp_path / "sbin").mkdir()
    (tmp_path / "sbin/init").symlink_to("/bin/not-in-the-image")
    with pytest.raises(KedgeError):
        handover.find_init(str(tmp_path))


def test_the_sites_files_come_first(tmp_path: Path) -> None:
    root = str(tmp_path)
    files = {f.path: f for f in handover.identity_files(root, NODE, MAC, frozenset())}
    assert files["/etc/hostname"].content == b"n1.lab\n"
    assert len(files["/etc/machine-id"].content) == 33
    listed = frozenset({"/etc/hostname", "/etc/machine-id"})
    assert handover.identity_files(root, NODE, MAC, listed) == []


def test_the_machine_id_stays_and_differs_between_nodes() -> None:
    assert handover.machine_id("n1", MAC) == handover.machine_id("n1", MAC)
    assert handover.machine_id("n1", MAC) != handover.machine_id("n2", MAC)


def test_networkd_is_configured_only_where_nobody_else_does(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert handover.network_file(root, MAC, frozenset()) is None  # networkd is not used
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    make(tmp_path, "usr/lib/systemd/system/systemd-networkd.service")
    (wants / "systemd-networkd.service").symlink_to(
        "/usr/lib/systemd/system/systemd-networkd.service"
    )
    written = handover.network_file(root, MAC, frozenset())
    assert written is not None and f"MACAddress={MAC}".encode() in written.content
    sites = frozenset({"/etc/systemd/network/20-own.network"})
    assert handover.network_file(root, MAC, sites) is None
    make(tmp_path, "etc/systemd/network/80-dhcp.network")
    assert handover.network_file(root, MAC, frozenset()) is None


def test_update_marks_only_for_a_finished_image(tmp_path: Path) -> None:
    assert handover.update_marks(str(tmp_path)) == []
    make(tmp_path, "etc/ld.so.cache")
    assert [f.path for f in handover.update_marks(str(tmp_path))] == [
        "/etc/.updated",
        "/var/.updated",
    ]


def test_units_are_enabled_and_can_be_written_twice(tmp_path: Path) -> None:
    for _ in range(2):
        handover.inject_units(str(tmp_path))
    wants = tmp_path / "systemd/system/sysinit.target.wants"
    assert {p.name for p in wants.iterdir()} == {"kedge-agent.service", "run-kedge-layer0.mount"}
    started = (
        "ExecStart=/run/kedge/layer0/usr/bin/busybox sh /run/kedge/layer0/usr/lib/kedge/keep-agent"
    )
    unit = (wants / "kedge-agent.service").read_text().splitlines()
    assert started in unit
    assert "After=run-kedge-layer0.mount multi-user.target" in unit


def test_init_is_told_what_to_start(tmp_path: Path) -> None:
    (tmp_path / "kedge").mkdir()
    handover.tell_init(str(tmp_path), handover.Init("/sbin/init", False))
    assert (tmp_path / "kedge/handover").read_text() == "init=/sbin/init\nagent=kept\n"
