"""Records and blobs: whole or not at all, damage is seen, and nothing that is named is collected."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.image.blobs import (
    Blob,
    blob_path,
    has_blob,
    place_blob,
    sweep_work,
    verify_blob,
    work_folder,
    write_blob,
)
from kedge.modules.image.layers import ConvertedLayer
from kedge.modules.image.store import (
    ImageRecord,
    Kernel,
    collect_blobs,
    find_by_reference,
    find_record,
    missing_blobs,
    named_blobs,
    read_records,
    write_record,
)


def record(
    state: Path, name: str = "a", reference: str = "r.example/c:1", created: str = "2026-01-01"
) -> ImageRecord:
    def blob(kind: str) -> Blob:
        return write_blob(state, f"{kind} {name}".encode())

    layer, kernel, modules = blob("layer"), blob("kernel"), blob("modules")
    digest = "sha256:" + name.encode().hex().ljust(64, "0")
    return ImageRecord(
        reference=reference,
        digest=digest,
        arch="x86_64",
        created=created,
        size_bytes=1,
        layers=(ConvertedLayer(layer.blob, layer.size_bytes, digest),),
        kernel=Kernel("6.1", kernel.blob, kernel.size_bytes),
        modules=modules,
        args=("console=ttyS0",),
    )


def test_record_is_the_contract(tmp_path: Path) -> None:
    made = record(tmp_path)
    write_record(tmp_path, made)
    path = tmp_path / "images" / f"{made.digest.removeprefix('sha256:')}.json"
    stored = json.loads(path.read_text())
    assert list(stored) == [
        "reference",
        "digest",
        "arch",
        "created",
        "size_bytes",
        "layers",
        "kernel",
        "modules",
        "args",
    ]
    assert set(stored["layers"][0]) == {"blob", "size_bytes", "source", "sha512"}
    assert set(stored["kernel"]) == {"version", "blob", "size_bytes"}
    assert set(stored["modules"]) == {"blob", "size_bytes"}
    assert stored == json.loads(json.dumps(made.as_json()))
    assert find_record(tmp_path, made.digest) == made


def test_what_is_not_there(tmp_path: Path) -> None:
    assert find_record(tmp_path, "sha256:" + "0" * 64) is None
    assert find_record(tmp_path, "../../etc/passwd") is None
    assert read_records(tmp_path) == []
    with pytest.raises(KedgeError, match="not sha256"):
        blob_path(tmp_path, "../x")


def test_record_needs_its_blobs(tmp_path: Path) -> None:
    made = record(tmp_path)
    blob_path(tmp_path, made.kernel.blob).unlink()
    assert missing_blobs(tmp_path, made) == (made.kernel.blob,)
    with pytest.raises(KedgeError) as caught:
        write_record(tmp_path, made)
    assert caught.value.code == "image.blob_missing"
    assert read_records(tmp_path) == []


def test_moved_tag_finds_the_newer(tmp_path: Path) -> None:
    old = record(tmp_path, "old", created="2026-01-01")
    new = record(tmp_path, "new", created="2026-02-01")
    for made in (new, old):
        write_record(tmp_path, made)
    assert find_by_reference(tmp_path, "r.example/c:1", "x86_64") == new
    assert find_by_reference(tmp_path, "r.example/c:1", "aarch64") is None
    assert len(read_records(tmp_path)) == 2


def test_damage_is_seen(tmp_path: Path) -> None:
    blob = write_blob(tmp_path, b"content")
    verify_blob(tmp_path, blob.blob)
    path = blob_path(tmp_path, blob.blob)
    path.chmod(0o644)
    path.write_bytes(b"c0ntent")
    assert has_blob(tmp_path, blob)  # its length is right: only the digest tells
    with pytest.raises(KedgeError) as caught:
        verify_blob(tmp_path, blob.blob)
    assert caught.value.code == "image.blob_corrupt"
    path.write_bytes(b"con")
    assert not has_blob(tmp_path, blob)
    path.unlink()
    with pytest.raises(KedgeError) as caught:
        verify_blob(tmp_path, blob.blob)
    assert caught.value.code == "image.blob_missing"


def test_equal_content_is_one_blob(tmp_path: Path) -> None:
    assert write_blob(tmp_path, b"x") == write_blob(tmp_path, b"x")
    assert len(list((tmp_path / "blobs" / "sha256").iterdir())) == 1
    assert not list((tmp_path / "cache" / "work").iterdir())


def test_layer0_blobs_are_kept(tmp_path: Path) -> None:
    kept, loose = write_blob(tmp_path, b"firmware"), write_blob(tmp_path, b"loose")
    (tmp_path / "layer0").mkdir()
    firmware = {"arch": "x86_64", "firmware": {"undionly.kpxe": kept.blob}}
    (tmp_path / "layer0" / "x86_64.json").write_text(json.dumps(firmware))
    for blob in (kept, loose):
        os.utime(blob_path(tmp_path, blob.blob))
    later = blob_path(tmp_path, loose.blob).stat().st_ctime + 4000
    used = frozenset[str]().union(*named_blobs(tmp_path).values())
    assert collect_blobs(tmp_path, used, now_s=later).blobs == (loose.blob,)
    assert has_blob(tmp_path, kept)


def test_work_of_the_killed_is_swept(tmp_path: Path) -> None:
    left = tmp_path / "cache" / "work" / "tmpkilled"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    with work_folder(tmp_path) as busy:
        sweep_work(tmp_path, now_s=left.stat().st_mtime + 10)
        assert left.exists(), "it may have just been made"
        sweep_work(tmp_path, now_s=left.stat().st_mtime + 1000)
        assert not left.exists()
        assert busy.exists(), "somebody works in it"


def test_a_file_with_another_digest_than_wanted_is_refused_and_harms_no_other(
    tmp_path: Path,
) -> None:
    kept = write_blob(tmp_path, b"of another image")
    wanted = "sha256:" + "0" * 64
    with work_folder(tmp_path) as folder:
        (folder / "came").write_bytes(b"of another image")
        with pytest.raises(KedgeError) as caught:
            place_blob(tmp_path, folder / "came", wanted)
    assert caught.value.code == "image.blob_corrupt" and kept.blob in caught.value.why
    assert has_blob(tmp_path, kept) and not blob_path(tmp_path, wanted).exists()
