"""Which image a node boots, out of files that may be missing or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.boot.firmware import firmware_files
from kedge.modules.boot.machines import canonical_mac
from kedge.modules.boot.records import blob_path, wanted_image

REFERENCE = "registry/compute:1"
DIGEST = "sha256:" + "a" * 64
BLOB = "sha256:" + "b" * 64


@pytest.fixture
def state(tmp_path: Path) -> Path:
    record = {
        "reference": REFERENCE,
        "digest": DIGEST,
        "arch": "x86_64",
        "layers": [],
        "kernel": {"blob": BLOB, "size_bytes": 1, "version": "6"},
        "modules": {"blob": BLOB, "size_bytes": 1},
        "args": ["quiet"],
        "something": "newer",
    }
    blob = blob_path(tmp_path, BLOB)
    assert blob is not None
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{'a' * 64}.json").write_text(json.dumps(record))
    (tmp_path / "pins.json").write_text(json.dumps({f"{REFERENCE} x86_64": DIGEST}))
    return tmp_path


def test_the_pinned_image_is_found(state: Path) -> None:
    assert wanted_image(state, REFERENCE, "x86_64").args == ["quiet"]
    exact = {"reference": REFERENCE, "digest": DIGEST}
    assert wanted_image(state, exact, "x86_64").kernel.blob == BLOB


def test_what_is_missing_is_named(state: Path) -> None:
    for wanted, arch in ((REFERENCE, "aarch64"), ("other", "x86_64"), (None, "x86_64")):
        with pytest.raises(KedgeError) as caught:
            wanted_image(state, wanted, arch)
        assert caught.value.code == "boot.no_image" and caught.value.next_step
    (state / "pins.json").write_text(json.dumps({f"{REFERENCE} x86_64": "sha256:../../x"}))
    with pytest.raises(KedgeError):
        wanted_image(state, REFERENCE, "x86_64")


def test_a_damaged_record_or_a_lost_blob_is_named(state: Path) -> None:
    path = state / "images" / f"{'a' * 64}.json"
    whole = path.read_text()
    for damaged in ("", "{", "[]", whole.replace(BLOB, "sha256:../x")):
        path.write_text(damaged)
        with pytest.raises(KedgeError) as caught:
            wanted_image(state, REFERENCE, "x86_64")
        assert caught.value.code in ("boot.image_record", "boot.blob_missing")


@pytest.mark.parametrize("text", ["", "sha256:" + "A" * 64, "sha256:../../etc/passwd", "a" * 64,
                                  DIGEST + "\n", DIGEST + "0"])  # fmt: skip
def test_only_digests_name_blobs(text: str, tmp_path: Path) -> None:
    assert blob_path(tmp_path, text) is None


def test_firmware_of_damaged_records_is_not_offered(state: Path) -> None:
    (state / "layer0").mkdir()
    record = state / "layer0" / "x86_64.json"
    record.write_text("{")
    assert firmware_files(state) == {}
    blob = {"blob": BLOB, "size_bytes": 1}
    names = {"a.efi": BLOB, "../b": BLOB, ".c": BLOB, "gone.efi": DIGEST}
    record.write_text(
        json.dumps(
            {
                "arch": "x86_64",
                "digest": DIGEST,
                "initramfs": blob,
                "squashfs": blob,
                "firmware": names,
                "created": "",
            }
        )
    )
    assert list(firmware_files(state)) == ["a.efi"]


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("52:54:00:AB:cd:01", "52:54:00:ab:cd:01"),
        ("52-54-00-ab-cd-01", "52:54:00:ab:cd:01"),
        ("525400abcd01", None),
        ("52:54:00:ab:cd:01\n", None),
        ("52:54:00:ab:cd:0g", None),
        ("../../../etc", None),
    ],
)
def test_macs_have_one_form(text: str, mac: str | None) -> None:
    assert canonical_mac(text) == mac
