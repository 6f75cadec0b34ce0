"""Images out of a real registry with TLS and passwords: imported whole, once, or refused with a reason."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_oracle import Layer
from oci_images import (
    PASSWORD,
    USER,
    VERSION,
    Registry,
    base_layer,
    run,
    top_layer,
    write_index,
    write_layout,
)

from kedge.lib.errors import KedgeError, NotNow
from kedge.modules.image import importer
from kedge.modules.image.access import RegistryAccess
from kedge.modules.image.blobs import blob_path, verify_blob
from kedge.modules.image.importer import import_image
from kedge.modules.image.store import (
    Collected,
    ImageRecord,
    collect_blobs,
    find_record,
    named_blobs,
    read_records,
    remove_record,
)

TOOLS = ("docker-registry", "htpasswd", "openssl", "skopeo", "mksquashfs", "unsquashfs", "zstd")
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
)


class Steps:
    """What an import said that it does."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, what: str, share: float) -> None:
        assert 0 <= share <= 1
        if what not in self.said:
            self.said.append(what)

    def any(self, word: str) -> bool:
        return any(word in what for what in self.said)


async def test_import_is_whole(compute: str, access: RegistryAccess, tmp_path: Path) -> None:
    steps = Steps()
    record = await import_image(compute, "x86_64", tmp_path / "s", access=access, progress=steps)
    assert (record.reference, record.arch, record.args) == (
        compute,
        "x86_64",
        ("console=ttyS0", "a=b"),
    )
    assert record.kernel.version == VERSION
    assert len(record.layers) == 2
    assert record.size_bytes == sum(blob.size_bytes for blob in record.blobs())
    assert find_record(tmp_path / "s", record.digest) == record
    for blob in record.blobs():
        verify_blob(tmp_path / "s", blob.blob)
        assert stat.S_IMODE(blob_path(tmp_path / "s", blob.blob).stat().st_mode) == 0o444
    assert steps.any("pulling") and steps.any("converting")
    assert not list((tmp_path / "s" / "cache" / "work").iterdir())


async def test_modules_are_packed_for_the_initramfs(
    compute: str, access: RegistryAccess, tmp_path: Path
) -> None:
    record = await import_image(compute, "x86_64", tmp_path / "s", access=access)
    archive = gzip.decompress(blob_path(tmp_path / "s", record.modules.blob).read_bytes())
    (tmp_path / "cpio").mkdir()
    (tmp_path / "m.cpio").write_bytes(archive)
    run(["sh", "-c", f"cd {tmp_path}/cpio && cpio -id --quiet < ../m.cpio"])
    folder = tmp_path / "cpio" / "lib" / "modules" / VERSION
    kernel = {path.name: path.read_bytes() for path in (folder / "kernel").iterdir()}
    assert set(kernel) == {"virtio_net.ko", "failover.ko", "net-failover.ko"}
    assert all(content.startswith(b"\x7fELF") for content in kernel.values())
    dep = (folder / "modules.dep").read_text()
    assert "kernel/virtio_net.ko: kernel/net-failover.ko kernel/failover.ko\n" in dep
    assert ".xz" not in dep and "sound" not in dep
    assert (folder / "modules.alias").read_text() == "alias virtio:d1v* virtio_net\n"
    assert (folder / "modules.builtin").read_text() == "kernel/unix.ko\n"


async def test_second_import_does_nothing(
    compute: str, access: RegistryAccess, tmp_path: Path
) -> None:
    first = await import_image(compute, "x86_64", tmp_path / "s", access=access)
    before = snapshot(tmp_path / "s" / "blobs")
    steps, started = Steps(), time.monotonic()
    again = await import_image(compute, "x86_64", tmp_path / "s", access=access, progress=steps)
    assert again == first
    assert snapshot(tmp_path / "s" / "blobs") == before
    assert steps.said == ["resolving"]
    assert time.monotonic() - started < 5


async def test_next_version_fetches_only_what_is_new(
    compute: str, access: RegistryAccess, registry: Registry, tmp_path: Path
) -> None:
    first = await import_image(compute, "x86_64", tmp_path / "s", access=access)
    base = first.layers[0].source.removeprefix("sha256:")
    held = registry.storage / "blobs" / "sha256" / base[:2] / base / "data"
    moved = held.rename(tmp_path / "taken-away")  # whoever asks for the base layer now gets nothing
    try:
        steps = Steps()
        second = await import_image(
            compute[:-1] + "2", "x86_64", tmp_path / "s", access=access, progress=steps
        )
    finally:
        moved.rename(held)
    assert steps.any("pulling 1 of 2 layers")
    assert second.layers[0] == first.layers[0]
    assert second.layers[1] != first.layers[1]
    assert second.kernel == first.kernel


async def test_lost_blob_is_made_again(
    compute: str, access: RegistryAccess, tmp_path: Path
) -> None:
    first = await import_image(compute, "x86_64", tmp_path / "s", access=access)
    blob_path(tmp_path / "s", first.layers[0].blob).unlink()
    again = await import_image(compute, "x86_64", tmp_path / "s", access=access)
    for blob in again.blobs():
        verify_blob(tmp_path / "s", blob.blob)


async def test_index_gives_each_architecture_its_own(
    registry: Registry, access: RegistryAccess, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    images = {"amd64": [base_layer()], "arm64": [base_layer("aarch64"), top_layer("arm")]}
    index = write_index(layout, "1", images)
    reference = registry.push(layout, "1", "multi:1")
    intel = await import_image(reference, "x86_64", tmp_path / "s", access=access)
    by_digest = reference.removesuffix(":1") + "@" + index
    arm = await import_image(by_digest, "aarch64", tmp_path / "s", access=access)
    assert intel.digest != arm.digest
    assert (len(intel.layers), len(arm.layers)) == (1, 2)
    assert {record.arch for record in read_records(tmp_path / "s")} == {"x86_64", "aarch64"}


async def test_concurrent_imports_convert_once(
    compute: str, access: RegistryAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spy(tmp_path, monkeypatch, "mksquashfs")
    records = await asyncio.gather(
        *(import_image(compute, "x86_64", tmp_path / "s", access=access) for _ in range(3))
    )
    assert len({record.digest for record in records}) == 1
    assert len({record.layers for record in records}) == 1
    assert len(calls.read_text().splitlines()) == 2  # one for each layer


async def test_cancelled_import_leaves_nothing(
    compute: str, access: RegistryAccess, tmp_path: Path
) -> None:
    converting = asyncio.Event()

    def watch(what: str, share: float) -> None:
        if "converting" in what or "reading" in what:
            converting.set()

    task = asyncio.ensure_future(
        import_image(compute, "x86_64", tmp_path / "s", access=access, progress=watch)
    )
    await asyncio.wait_for(converting.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list((tmp_path / "s" / "cache" / "work").iterdir())
    assert read_records(tmp_path / "s") == []
    await import_image(compute, "x86_64", tmp_path / "s", access=access)


async def test_secrets_stay_secret(
    compute: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spy(tmp_path, monkeypatch, "skopeo")
    access = RegistryAccess(USER, PASSWORD, ca=str(registry.ca))
    await import_image(compute, "x86_64", tmp_path / "s", access=access)
    assert USER not in calls.read_text().replace(str(tmp_path), "")
    assert PASSWORD not in calls.read_text()
    assert PASSWORD not in repr(access)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "s").rglob("*.json"))
    assert PASSWORD.encode() not in stored


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "zstd"])
async def test_import_without_a_registry(kind: str, tmp_path: Path) -> None:
    write_layout(tmp_path / "l", "1", [base_layer(), top_layer("x")])
    source = f"oci:{tmp_path}/l:1"
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet"]
    if kind == "zstd":
        other = f"oci:{tmp_path}/z:1"
        run(
            [
                *copy,
                "--dest-compress",
                "--dest-compress-format",
                "zstd",
                "dir:" + dir_copy(tmp_path, source),
                other,
            ]
        )
        source = other
    elif kind != "oci":
        source = f"{kind}:{tmp_path}/a.tar" + (":c:1" if kind == "docker-archive" else ":1")
        run([*copy, f"oci:{tmp_path}/l:1", source])
    record = await import_image(source, "x86_64", tmp_path / "s")
    assert len(record.layers) == 2 and record.kernel.version == VERSION
    steps = Steps()
    assert await import_image(source, "x86_64", tmp_path / "s", progress=steps) == record
    assert not steps.any("converting")


def dir_copy(tmp_path: Path, source: str) -> str:
    run(
        [
            "skopeo",
            "--insecure-policy",
            "copy",
            "--quiet",
            "--dest-decompress",
            source,
            f"dir:{tmp_path}/d",
        ]
    )
    return f"{tmp_path}/d"


async def test_deep_image_is_flattened(tmp_path: Path) -> None:
    layers = [base_layer(), *(top_layer(str(number)) for number in range(20))]
    layers.append(Layer().gone("usr/lib/filler").bytes())
    write_layout(tmp_path / "l", "1", layers)
    record = await import_image(f"oci:{tmp_path}/l:1", "x86_64", tmp_path / "s")
    assert len(record.layers) == 1
    listing = run(["unsquashfs", "-l", str(blob_path(tmp_path / "s", record.layers[0].blob))])
    assert "etc/version" in listing and "filler" not in listing
    text = run(
        ["unsquashfs", "-cat", str(blob_path(tmp_path / "s", record.layers[0].blob)), "etc/version"]
    )
    assert text == "19"


async def test_collection_keeps_what_is_named(
    compute: str, access: RegistryAccess, tmp_path: Path
) -> None:
    state = tmp_path / "s"
    first = await import_image(compute, "x86_64", state, access=access)
    second = await import_image(compute[:-1] + "2", "x86_64", state, access=access)
    assert collect(state, time.time() + 7200).blobs == ()
    remove_record(state, first.digest)
    assert collect(state, time.time()).blobs == ()  # too young: an import could be under way
    would = collect(state, time.time() + 7200, dry_run=True)
    assert would.blobs == (first.layers[1].blob,) and would.size_bytes == first.layers[1].size_bytes
    assert collect(state, time.time() + 7200) == would
    assert still_whole(state, second)
    (state / "images" / "broken.json").write_text("{")
    with pytest.raises(KedgeError, match="no blob is removed"):
        collect(state, time.time() + 7200)
    assert still_whole(state, second)


def collect(state: Path, now_s: float, *, dry_run: bool = False) -> Collected:
    used = frozenset[str]().union(*named_blobs(state).values())
    return collect_blobs(state, used, now_s=now_s, dry_run=dry_run)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount")
    yield place
    run(["umount", str(place)])


async def test_a_full_disk_is_told_before_and_meanwhile(
    compute: str, access: RegistryAccess, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    for before in (True, False):
        if not before:
            monkeypatch.setattr(importer, "refuse_without_room", lambda *_: None)
        with pytest.raises(NotNow) as caught:
            await import_image(compute, "x86_64", small_disk, access=access, progress=steps)
        assert caught.value.code == "image.no_space"
        assert "kedge image prune --unused" in caught.value.next_step
        assert str(small_disk) in caught.value.why
        assert steps.any("pulling") is not before
        assert read_records(small_disk) == []
        assert not list((small_disk / "cache" / "work").iterdir())


def still_whole(state: Path, record: ImageRecord) -> bool:
    return all(blob_path(state, blob.blob).exists() for blob in record.blobs())


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> Path:
    """Put a wrapper before a program that writes down its arguments and environment, one line a call."""
    real = shutil.which(program)
    calls, folder = tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    script = folder / program
    script.write_text(f'#!/bin/sh\necho "$* $(env | tr "\\n" " ")" >> {calls}\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return calls
