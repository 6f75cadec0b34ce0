"""Pruning: what somebody needs stays with the reason, what nobody needs goes when it is old."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_store import record

from fakes import FakeIo, FakeNode
from kedge.core.node import Configuration, Observation
from kedge.lib.errors import KedgeError
from kedge.modules.image import prune as verb
from kedge.modules.image.blobs import Blob, blob_path, has_blob, work_folder, write_blob
from kedge.modules.image.keeping import use_blob
from kedge.modules.image.pins import pin, read_pins
from kedge.modules.image.store import ImageRecord, missing_blobs, read_records, write_record
from kedge.modules.port import ImageClaim

A, B = "r.example/c:1", "r.example/c:2"


class Head:
    """A head with two images, A wanted by n1, a loose blob, and a clock of its own."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state, self.io = state, FakeIo(state_dir=state)
        self.first, self.second = self.imported("a", A), self.imported("b", B)
        self.loose = write_blob(state, b"loose")
        self.now_s = blob_path(state, self.loose.blob).stat().st_ctime + 4000
        clock = SimpleNamespace(time=lambda: self.now_s)
        monkeypatch.setattr(verb, "time", clock)
        self.node("n1", A)

    def imported(self, name: str, reference: str) -> ImageRecord:
        made = record(self.state, name, reference)
        write_record(self.state, made)
        pin(self.state, reference, "x86_64", made.digest)
        return made

    def node(self, name: str, wanted: str, running: str = "") -> FakeNode:
        values = {"image.wanted": wanted, "boot.arch": "x86_64"}
        node = self.io.fake_nodes[name] = FakeNode(Configuration(name, values))  # pyright: ignore[reportArgumentType]
        if running:
            node.discovered["image.running"] = Observation({"digest": running}, 0.0, "agent")
        return node

    async def prune(self, **args: Any) -> Any:
        return await verb.prune(self.io, args)

    def whole(self, *records: ImageRecord) -> bool:
        here = read_records(self.state)
        return all(r in here and not missing_blobs(self.state, r) for r in records)


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Head:
    return Head(tmp_path, monkeypatch)


async def test_only_the_loose_goes(head: Head) -> None:
    answer = await head.prune()
    assert answer["blobs"] == [head.loose.blob] and answer["size_bytes"] == 5
    assert answer["images"] == [] and answer["images_kept"] == 2
    assert [kept["why"] for kept in answer["kept"]] == ["needed", "not asked for"]
    assert not has_blob(head.state, head.loose)
    assert head.whole(head.first, head.second) and len(head.io.events) == 1


async def test_an_image_that_nobody_needs_goes_with_its_pin_and_its_blobs(head: Head) -> None:
    would = await head.prune(unused=True, dry_run=True)
    assert [image["reference"] for image in would["images"]] == [B]
    assert head.whole(head.first, head.second) and has_blob(head.state, head.loose)
    assert not head.io.events
    done = await head.prune(unused=True)
    assert {**done, "dry_run": True} == would
    assert len(done["blobs"]) == 4  # the loose one, and layer, kernel and modules of B
    assert done["size_bytes"] == 5 + sum(blob.size_bytes for blob in head.second.blobs())
    assert head.whole(head.first) and read_records(head.state) == [head.first]
    assert read_pins(head.state) == {f"{A} x86_64": head.first.digest}
    (kept,) = done["kept"]
    assert kept["needed_by"]["wanted"] == "n1" and kept["reference"] == A
    assert any(head.second.digest in event.cause for event in head.io.events)


@pytest.mark.parametrize(
    "claim",
    [
        ImageClaim("files", "site.yaml", B),
        ImageClaim("releases", "old", B),
        ImageClaim("rollouts", "r", B, "x86_64"),
        ImageClaim("files", "site.yaml", "r.example/c:{}"),
        ImageClaim("files", "site.yaml", "{}/c:2"),
        ImageClaim("master", "m", f"{B}@SECOND"),
        ImageClaim("releases", "old", "elsewhere/under:another", "x86_64", "SECOND"),
    ],
)
async def test_whatever_names_an_image_keeps_it(head: Head, claim: ImageClaim) -> None:
    meant = {"reference": claim.reference.replace("SECOND", head.second.digest)}
    if claim.digest:
        meant["digest"] = head.second.digest
    head.io.claims = [claim._replace(**meant)]
    done = await head.prune(unused=True)
    assert done["images"] == [] and head.whole(head.first, head.second)
    assert done["kept"][1]["needed_by"][claim.kind] == [claim.name]


async def test_what_a_node_runs_stays(head: Head) -> None:
    head.node("n1", A, running=head.second.digest)
    done = await head.prune(unused=True)
    assert head.whole(head.first, head.second)
    assert done["kept"][1]["needed_by"]["running"] == "n1"


async def test_a_reference_that_is_not_pinned_means_all_that_came_by_it(head: Head) -> None:
    (head.state / "pins.json").unlink()
    done = await head.prune(unused=True)
    assert [image["reference"] for image in done["images"]] == [B]
    assert head.whole(head.first)


async def test_a_tag_that_moved_lets_go_of_what_it_was(head: Head) -> None:
    newer = head.imported("c", A)
    done = await head.prune(unused=True)
    assert {image["digest"] for image in done["images"]} == {
        head.first.digest, head.second.digest,
    }  # fmt: skip
    assert head.whole(newer)


async def test_only_what_was_agreed_to_goes(head: Head) -> None:
    done = await head.prune(unused=True, images=[])
    assert done["images"] == [] and done["kept"][1]["why"] == "not agreed to"
    assert head.whole(head.first, head.second)


async def test_what_is_new_stays(head: Head) -> None:
    head.now_s -= 1000
    answer = await head.prune(unused=True)
    assert answer["blobs"] == [] and answer["images"] == [] and has_blob(head.state, head.loose)
    assert answer["kept"][1]["why"] == "imported lately"
    head.now_s += 1000
    assert (await head.prune(unused=True, older_than_s=86400))["blobs"] == []


async def test_what_an_open_boot_may_fetch_stays(head: Head) -> None:
    """A former layer0, or the kernel of an image that nobody needs any more."""
    former = write_blob(head.state, b"a former layer0")
    head.io.grant_boot("n1")
    assert head.io.take_permit("n1", [former.blob, head.second.kernel.blob]) is not None
    done = await head.prune(unused=True)
    assert has_blob(head.state, former) and former.blob not in done["blobs"]
    assert blob_path(head.state, head.second.kernel.blob).exists()
    head.io.revoke_boot("n1")
    done = await head.prune(unused=True)
    assert set(done["blobs"]) == {former.blob, head.second.kernel.blob}


async def test_what_an_import_has_found_stays(head: Head) -> None:
    """However long it takes: it counts from when the import began."""
    found = Blob(head.loose.blob, head.loose.size_bytes)
    with work_folder(head.state):
        assert use_blob(head.state, found)
        head.now_s += 30 * 86400
        assert (await head.prune())["blobs"] == []
    assert (await head.prune())["blobs"] == [found.blob]
    assert not use_blob(head.state, found)


async def test_work_that_began_later_does_not_keep_what_was_loose_before(head: Head) -> None:
    path = blob_path(head.state, head.loose.blob)
    os.utime(path)
    begun = path.stat().st_ctime
    folder = head.state / "cache" / "work" / f"{int(begun) + 100}-later"
    with work_folder(head.state) as busy:
        busy.rename(folder)  # the lock goes with it
        assert (await head.prune())["blobs"] == [head.loose.blob]
        folder.rename(busy)


@pytest.mark.parametrize(
    "args",
    [{"dry_run": 0}, {"unused": "yes"}, {"older_than_s": 10}, {"older_than_s": True},
     {"older_than_s": "1h"}, {"images": "all"}, {"images": [1]}, {"older_than_s": float("nan")}],
)  # fmt: skip
async def test_refusals(head: Head, args: Any) -> None:
    with pytest.raises(KedgeError) as caught:
        await head.prune(**args)
    assert caught.value.code == "image.prune" and has_blob(head.state, head.loose)


@pytest.mark.parametrize("damaged", ["images/damaged.json", "pins.json", "layer0/x86_64.json"])
async def test_a_damaged_record_keeps_everything(head: Head, damaged: str) -> None:
    path = head.state / damaged
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    with pytest.raises(KedgeError):
        await head.prune(unused=True)
    assert has_blob(head.state, head.loose) and head.whole(head.first, head.second)


async def test_where_it_cannot_be_known_who_needs_what_nothing_goes(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable() -> list[ImageClaim]:
        raise KedgeError("release.format", "a newer Kedge made it")

    monkeypatch.setattr(head.io, "image_claims", unreadable)
    with pytest.raises(KedgeError, match="a newer Kedge"):
        await head.prune(unused=True)
    assert has_blob(head.state, head.loose) and head.whole(head.first, head.second)
