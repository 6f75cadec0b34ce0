"""Images below a sub-master: handed down while a node there wants them, taken back, and not brought again."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from kedge.core.kinds import Text
from kedge.core.module import Module
from kedge.master.tree.master import handing
from kedge.master.tree.submaster import copying, tidying
from kedge.modules.image import prune as verb
from kedge.modules.image.blobs import blob_path, write_blob
from kedge.modules.image.layers import ConvertedLayer
from kedge.modules.image.pins import pin, read_pins
from kedge.modules.image.store import (
    ImageRecord,
    Kernel,
    read_records,
    record_name,
    write_record,
)
from small_master import until
from tree_world import World, site, tree_world

A, B = "r.example/c:1", "r.example/c:2"


def declarations() -> list[Module]:
    """What a site may say of images; nothing is done about it."""
    image, boot = Module("image", summary="Images"), Module("boot", summary="Boot")
    image.variable("wanted", Text(), configured=True, summary="The image")
    boot.variable("arch", Text(), configured=True, default="x86_64", summary="The architecture")
    return [image, boot]


def placed(state: Path, name: str, reference: str, *, pinned: bool) -> ImageRecord:
    """An image whose blobs are there; at a sub-master they are all that a copy needs."""
    blob = write_blob(state, name.encode())
    digest = "sha256:" + name.encode().hex().ljust(64, "0")
    made = ImageRecord(
        reference, digest, "x86_64", "2026-01-01", 1,
        (ConvertedLayer(blob.blob, blob.size_bytes, digest),),
        Kernel("6", blob.blob, blob.size_bytes), blob, (),
    )  # fmt: skip
    if pinned:
        write_record(state, made)
        pin(state, reference, "x86_64", digest)
    return made


def apply(world: World, wanted: str) -> None:
    profile = f'profiles: {{ p: {{ image.wanted: "{wanted}" }} }}\n'
    files = site("sm1", profile)
    files["site.yaml"] = files["site.yaml"].replace(
        'nodes: "n[1-3]",', 'nodes: "n[1-3]", profiles: [p],'
    )
    world.master.operations.apply(files, "test")


def aged(state: Path) -> None:
    for record in read_records(state):
        when = time.time() - 10 * tidying.KEPT_S
        os.utime(state / record_name(record.digest), (when, when))


async def test_an_image_that_no_node_below_wants_goes_at_both_and_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "LOOK_S", 0.1)
    monkeypatch.setattr(tidying, "TIDY_S", 0.3)
    brought: list[str] = []

    async def imported(reference: str, arch: str, io: Any) -> None:
        brought.append(reference)

    async def look(node: Any, io: Any) -> None:
        """Nobody asks whether it is ready."""

    monkeypatch.setattr(handing, "imported", imported)
    monkeypatch.setattr(copying, "look", look)
    async with tree_world(tmp_path, *declarations()) as world:
        above, below = tmp_path / "master", tmp_path / "sm1"
        first, second = (placed(above, n, r, pinned=True) for n, r in (("a", A), ("b", B)))
        for name, reference in (("a", A), ("b", B)):
            placed(below, name, reference, pinned=False)
        sub = await world.start("sm1")
        apply(world, A)
        await until(lambda: len(sub.io.nodes()) == 3, 20)
        assert sub.io.above is not None
        await sub.io.above.fetch("image", f"{A} x86_64")
        assert read_records(below) == [first]
        assert read_pins(below) == {f"{A} x86_64": first.digest}

        apply(world, B)
        known = world.master.operations.tree._tree.submasters.known["sm1"]
        await until(lambda: not known.wishes, 20)
        await until(lambda: not sub.io.image_claims(), 20)
        await sub.io.above.fetch("image", f"{B} x86_64")
        assert read_records(below) == [first, second]  # the way back is still here
        aged(below)
        await until(lambda: read_records(below) == [second], 20)

        aged(above)
        done: Any = await verb.prune(world.master.io, {"unused": True})
        assert [image["reference"] for image in done["images"]] == [A]
        assert done["kept"][0]["needed_by"]["wanted"] == "n[1-3]"
        assert read_records(above) == [second]
        known.wishes[f"{A} x86_64"] = 7  # of a sub-master that does not take its wishes back
        await asyncio.sleep(2 * handing.LOOK_S + 0.2)
        assert f"image/{B} x86_64" in known.handed
        assert brought == [] and blob_path(below, second.kernel.blob).exists()
