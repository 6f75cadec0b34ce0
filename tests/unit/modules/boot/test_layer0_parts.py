"""The parts of layer0's builder that need no network: records, blobs, pruning, the initramfs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kedge.lib.errors import KedgeError
from kedge.lib.kernel_modules import BOOT_MODULES, DRIVER_MODULES
from kedge.modules.boot.layer0 import Layer0, build, load_record, packages, tree
from kedge.modules.boot.layer0 import initramfs as early
from kedge.modules.boot.layer0.blobs import put_file
from kedge.modules.boot.layer0.record import Blob, digest_of, save_record

HEX = "0" * 64


def record() -> Layer0:
    blob = Blob(f"sha256:{HEX}", 3)
    firmware = {"undionly.kpxe": f"sha256:{HEX}"}
    return Layer0(
        "x86_64", digest_of(blob, blob, firmware), blob, blob, firmware, "2026-01-01", "ab"
    )


def test_a_record_is_kept_in_the_shape_that_all_parts_agreed_on(tmp_path: Path) -> None:
    save_record(tmp_path, record())
    raw = json.loads((tmp_path / "layer0/x86_64.json").read_text())
    assert set(raw) == {"arch", "digest", "initramfs", "squashfs", "firmware", "created", "sha512"}
    assert raw["initramfs"] == {"blob": f"sha256:{HEX}", "size_bytes": 3}
    assert load_record(tmp_path, "x86_64") == record()


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"arch": 1}'])
def test_a_missing_or_damaged_record_says_what_to_type(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "layer0").mkdir()
        (tmp_path / "layer0/x86_64.json").write_text(content)
    with pytest.raises(KedgeError) as caught:
        load_record(tmp_path, "x86_64")
    assert "kedge layer0 build" in caught.value.next_step


def test_a_blob_lies_under_its_digest_and_cannot_be_changed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    for _ in range(2):
        blob = put_file(tmp_path, source)
    hexadecimal = hashlib.sha256(b"content").hexdigest()
    assert blob == Blob(f"sha256:{hexadecimal}", 7)
    stored = tmp_path / "blobs/sha256" / hexadecimal
    assert stored.read_bytes() == b"content"
    assert stored.stat().st_mode & 0o777 == 0o444
    assert [p.name for p in stored.parent.iterdir()] == [hexadecimal]


def test_an_unknown_architecture_names_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(KedgeError) as caught:
        build("amd64", tmp_path)
    assert "x86_64" in caught.value.why


def test_a_failing_mmdebstrap_leaves_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mmdebstrap").write_text("#!/bin/sh\necho 'E: no such mirror' >&2\nexit 7\n")
    (programs / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with pytest.raises(KedgeError) as caught:
        build("x86_64", tmp_path / "state", mirror="http://127.0.0.1:1/debian")
    assert "no such mirror" in caught.value.why
    assert list((tmp_path / "state/tmp").iterdir()) == []


def test_a_given_mirror_is_the_only_one() -> None:
    lines = packages.sources_at("http://mirror.example/debian")
    assert all("http://mirror.example/debian trixie" in line for line in lines)


def make_archive(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w") as tar:
        for name in names:
            member = tarfile.TarInfo(f"./{name}")
            member.mode = 0o755
            content = name.encode()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_only_what_is_used_is_unpacked(tmp_path: Path) -> None:
    kept = [
        "usr/bin/python3.13", "usr/bin/busybox", "usr/sbin/kexec", "usr/lib/python3.13/os.py",
        "usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/python3.13/encodings/utf_8.py",
    ]  # fmt: skip
    dropped = [
        "usr/bin/perl", "usr/share/doc/x/copyright", "var/lib/dpkg/status", "dev/null",
        "usr/lib/python3.13/test/test_x.py", "usr/lib/x86_64-linux-gnu/libsqlite3.so.0",
        "usr/lib/ipxe/ipxe.iso", "usr/lib/ipxe/undionly.kpxe",
        "usr/lib/python3/dist-packages/bcrypt/__init__.py",
    ]  # fmt: skip
    firmware = ["usr/lib/ipxe/snponly.efi", "usr/lib/ipxe/ipxe-arm64.efi"]
    make_archive(tmp_path / "a.tar", kept + dropped + firmware)
    root = tmp_path / "root"
    tree.unpack(tmp_path / "a.tar", root)
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()) == sorted(kept)
    names = tree.unpack_firmware(tmp_path / "a.tar", tmp_path / "firmware")
    assert names == ["ipxe-arm64.efi", "snponly.efi", "undionly.kpxe"]
    assert (tmp_path / "firmware/snponly.efi").read_bytes() == firmware[0].encode()


def test_the_tree_holds_the_agent_and_nothing_else_of_kedge(tmp_path: Path) -> None:
    tree.add_agent(tmp_path)
    kedge = tmp_path / "usr/lib/python3/dist-packages/kedge"
    assert sorted(p.name for p in kedge.iterdir()) == ["__init__.py", "agent", "lib", "sync"]
    assert (kedge / "agent/__main__.py").exists()
    assert not list(kedge.rglob("__pycache__"))


def test_the_initramfs_holds_the_script_and_is_reproducible(tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"\x7fELF")
    for name in ("one", "two"):
        early.pack(busybox, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    unpacked = gzip.decompress((tmp_path / "one").read_bytes())
    for name in ("init", "bin/busybox", "etc/kedge/udhcpc", "dev/console", "sysroot"):
        assert f"{name}\0".encode() in unpacked
    for module in (*BOOT_MODULES, *DRIVER_MODULES):
        assert f"{module}\n".encode() in unpacked


@pytest.mark.skipif(shutil.which("busybox") is None, reason="needs busybox's shell")
@pytest.mark.parametrize("name", ["init", "udhcpc"])
def test_the_scripts_are_understood_by_busybox(name: str) -> None:
    script = Path(early.__file__).parent / "early" / name
    assert script.read_text().startswith("#!/bin/busybox sh\n")
    subprocess.run(["busybox", "sh", "-n", str(script)], check=True)


def test_module_names_are_plain_and_listed_once() -> None:
    names = [*BOOT_MODULES, *DRIVER_MODULES]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalnum() and name == name.lower() for name in names)


def test_an_agent_of_layer0_has_the_small_messages() -> None:
    """The library would cost each node some five megabytes, and take the agent beyond what it may have."""
    assert not [name for name in packages.LAYER0_PACKAGES if "protobuf" in name]
    code = "import sys; sys.modules['google'] = None\nfrom kedge.sync.v1 import sync_pb2 as pb; print(pb)"
    chosen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "sync_small" in chosen.stdout
