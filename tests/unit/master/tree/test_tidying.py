"""A sub-master's copies: wished for while its nodes want them, and gone a day after nobody needs them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fakes import FakeIo, FakeNode
from kedge.core.node import Configuration
from kedge.master.tree.entries import IMAGE, WISH, pack, unpack
from kedge.master.tree.submaster.copying import Copies
from kedge.master.tree.submaster.tidying import KEPT_S, Tidy
from kedge.modules.image.blobs import blob_path, write_blob
from kedge.modules.image.layers import ConvertedLayer
from kedge.modules.image.pins import pin, read_pins
from kedge.modules.image.store import (
    ImageRecord,
    Kernel,
    missing_blobs,
    read_records,
    record_name,
    write_record,
)

A, B = "r.example/c:1", "r.example/c:2"


class SubMaster:
    """One with copies of A and B, whose node n1 wants A; ``wishes`` is what it told the master."""

    def __init__(self, state: Path) -> None:
        self.state, self.io, self.low = state, FakeIo(state_dir=state), False
        self.first, self.second = self.copied("a", A), self.copied("b", B)
        self.wants(A)
        self.wishes: dict[str, Any] = {}
        self.entries: dict[str, bytes] = {}
        uplink = cast("Any", SimpleNamespace(entries=self.entries, report=self.report))
        self.copies = Copies(cast("Any", None), cast("Any", self.io), uplink, cast("Any", None))
        self.tidy = Tidy(cast("Any", self.io), self.copies, lambda: self.low)
        self.io.image_claims = self.copies.claims  # type: ignore[method-assign]

    def copied(self, name: str, reference: str) -> ImageRecord:
        blob = write_blob(self.state, name.encode())
        digest = "sha256:" + name.encode().hex().ljust(64, "0")
        made = ImageRecord(
            reference, digest, "x86_64", "2026-01-01", 1,
            (ConvertedLayer(blob.blob, blob.size_bytes, digest),),
            Kernel("6", blob.blob, blob.size_bytes), blob, (),
        )  # fmt: skip
        write_record(self.state, made)
        pin(self.state, reference, "x86_64", digest)
        return made

    def wants(self, *references: str) -> None:
        """Another site: a node for each reference."""
        self.io._site = SimpleNamespace()
        self.io.fake_nodes = {
            f"n{number}": FakeNode(
                Configuration(f"n{number}", {"image.wanted": wanted, "boot.arch": "x86_64"})
            )
            for number, wanted in enumerate(references, 1)
        }

    def report(self, changes: dict[str, bytes | None]) -> None:
        for name, raw in changes.items():
            self.wishes.pop(name, None)
            if raw is not None:
                self.wishes[name] = unpack(raw)

    def aged(self, age_s: float) -> None:
        """All records are so old, and all blobs older than any age."""
        for record in read_records(self.state):
            when = time.time() - age_s
            os.utime(self.state / record_name(record.digest), (when, when))

    def whole(self, record: ImageRecord) -> bool:
        return record in read_records(self.state) and not missing_blobs(self.state, record)


@pytest.fixture
def sub(tmp_path: Path) -> SubMaster:
    return SubMaster(tmp_path)


def test_wishes_follow_what_nodes_want(sub: SubMaster) -> None:
    """Also after a restart, when nothing was wished for yet: else a moved tag would not come here."""
    sub.tidy.wish()
    assert sub.wishes == {f"{WISH}{A} x86_64": 0}
    sub.wants(A, B, "r.example/never-copied:1")
    sub.tidy.wish()
    assert sub.wishes.keys() == {f"{WISH}{A} x86_64", f"{WISH}{B} x86_64"}
    sub.wants(B)
    sub.tidy.wish()
    assert sub.wishes.keys() == {f"{WISH}{B} x86_64"}


def test_without_a_site_nothing_is_taken_back(sub: SubMaster) -> None:
    sub.tidy.wish()
    sub.wants()
    sub.tidy.wish()
    assert sub.wishes == {f"{WISH}{A} x86_64": 0}


async def test_a_copy_that_nobody_needs_goes_after_a_day(sub: SubMaster) -> None:
    await sub.tidy.remove()
    assert sub.whole(sub.first) and sub.whole(sub.second)
    sub.aged(KEPT_S - 600)
    await sub.tidy.remove()
    assert sub.whole(sub.first) and sub.whole(sub.second)
    sub.aged(KEPT_S + 600)
    await sub.tidy.remove()
    assert read_records(sub.state) == [sub.first] and sub.whole(sub.first)
    assert read_pins(sub.state) == {f"{A} x86_64": sub.first.digest}


async def test_where_room_is_short_it_goes_soon(sub: SubMaster) -> None:
    sub.aged(3600)
    await sub.tidy.remove()
    assert sub.whole(sub.second)
    sub.aged(3600)
    sub.low = True
    await sub.tidy.remove()
    assert read_records(sub.state) == [sub.first]


async def test_the_day_begins_when_it_is_not_needed_any_more(sub: SubMaster) -> None:
    sub.wants(A, B)
    sub.aged(10 * KEPT_S)
    await sub.tidy.remove()
    sub.wants(A)
    await sub.tidy.remove()
    assert sub.whole(sub.second)


async def test_what_the_master_hands_down_stays(sub: SubMaster) -> None:
    sub.entries[f"{IMAGE}{B} x86_64"] = pack({"record": sub.second.as_json()})
    sub.aged(10 * KEPT_S)
    await sub.tidy.remove()
    assert sub.whole(sub.second)
    del sub.entries[f"{IMAGE}{B} x86_64"]
    sub.aged(10 * KEPT_S)
    await sub.tidy.remove()
    assert not sub.whole(sub.second)


async def test_without_a_site_nothing_goes(sub: SubMaster) -> None:
    sub.wants()
    sub.aged(10 * KEPT_S)
    await sub.tidy.remove()
    assert sub.whole(sub.first) and sub.whole(sub.second)


async def test_a_damaged_record_is_told_once_and_keeps_everything(sub: SubMaster) -> None:
    (sub.state / "images" / "damaged.json").write_text("{")
    sub.aged(10 * KEPT_S)
    for _ in range(2):
        await sub.tidy.remove()
    assert sub.whole(sub.first) and blob_path(sub.state, sub.second.kernel.blob).exists()
    assert len(sub.io.events) == 1 and "cannot be read" in sub.io.events[0].cause
