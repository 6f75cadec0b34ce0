from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from kedge.lib import cpio

ENTRIES = [
    cpio.file("etc/motd", b"hello", 0o640),
    cpio.file("empty", b""),
    cpio.symlink("bin/sh", "busybox"),
    cpio.file("bin/busybox", b"x" * 4097, 0o755),
    cpio.directory("proc", 0o555),
    cpio.character_device("dev/null", 1, 3, 0o666),
]


@pytest.mark.skipif(shutil.which("busybox") is None, reason="needs busybox to unpack")
def test_another_program_unpacks_it(tmp_path: Path) -> None:
    packed = b"".join(cpio.archive(cpio.with_parents(ENTRIES), mtime=1_000_000))
    listed = subprocess.run(
        ["busybox", "cpio", "-tv"], input=packed, capture_output=True, check=True
    )
    assert [line[:10] for line in listed.stdout.splitlines() if line.endswith(b"/null")] == [
        b"crw-rw-rw-"
    ]
    header = packed[packed.index(b"dev/null\0") - 110 :]
    assert (header[78:86], header[86:94]) == (b"00000001", b"00000003")
    without_device = b"".join(cpio.archive(cpio.with_parents(ENTRIES[:-1]), mtime=1_000_000))
    subprocess.run(["busybox", "cpio", "-idm"], input=without_device, cwd=tmp_path, check=True)
    assert (tmp_path / "etc/motd").read_bytes() == b"hello"
    assert stat.S_IMODE((tmp_path / "etc/motd").stat().st_mode) == 0o640
    assert (tmp_path / "etc/motd").stat().st_mtime == 1_000_000
    assert (tmp_path / "bin/sh").readlink() == Path("busybox")
    assert (tmp_path / "bin/busybox").stat().st_size == 4097
    assert stat.S_IMODE((tmp_path / "proc").stat().st_mode) == 0o555


def test_the_same_entries_give_the_same_bytes() -> None:
    first, second = (b"".join(cpio.archive(cpio.with_parents(ENTRIES))) for _ in range(2))
    assert first == second
    assert len(first) % 4 == 0
