from __future__ import annotations

from pathlib import Path

from kedge.agent.duties.facts import read_facts


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_the_kernel_shows_is_read(tmp_path: Path) -> None:
    sys, proc = tmp_path / "sys", tmp_path / "proc"
    write(proc / "meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\n")
    write(proc / "sys/kernel/random/boot_id", "abc\n")
    write(sys / "class/dmi/id/product_serial", "S4711\n")
    write(sys / "block/nvme0n1/size", "4096\n")
    write(sys / "block/nvme0n1/device/model", "Fast Disk  \n")
    write(sys / "block/loop0/size", "8\n")
    write(sys / "block/sda/size", "0\n")
    write(sys / "class/net/eth0/address", "52:54:00:00:00:01\n")
    (sys / "class/net/eth0/device").mkdir()
    write(sys / "class/net/lo/address", "00:00:00:00:00:00\n")
    facts = read_facts(sys, proc)
    assert facts["memory_bytes"] == 2048 * 1024
    assert facts["boot_id"] == "abc"
    assert facts["serial"] == "S4711"
    assert facts["disks"] == [{"name": "nvme0n1", "size_bytes": 2097152, "model": "Fast Disk"}]
    assert facts["macs"] == ["52:54:00:00:00:01"]
    assert "vendor" not in facts


def test_this_machine_has_facts() -> None:
    facts = read_facts()
    assert facts["cpus"] >= 1 and facts["memory_bytes"] > 0 and facts["kernel"]
