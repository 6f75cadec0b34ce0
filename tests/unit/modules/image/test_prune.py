"""Pruning: what a record names stays; what is loose goes when it is old, and nobody imports."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from test_store import record

from kedge.lib.errors import KedgeError
from kedge.modules.image import prune as verb
from kedge.modules.image.blobs import blob_path, has_blob, write_blob
from kedge.modules.image.store import missing_blobs, read_records, write_record


def head(state: Path, monkeypatch: pytest.MonkeyPatch, *, later_s: float = 4000) -> Any:
    """A head with one image and one loose blob, ``later_s`` after they were written."""
    write_record(state, record(state))
    loose = write_blob(state, b"loose")
    now_s = blob_path(state, loose.blob).stat().st_ctime + later_s
    monkeypatch.setattr(verb, "time", SimpleNamespace(time=lambda: now_s))
    told: list[tuple[str, ...]] = []
    io = SimpleNamespace(state_dir=state, event=lambda *words: told.append(words))
    return SimpleNamespace(io=cast("Any", io), loose=loose, told=told)


async def test_only_the_loose_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = head(tmp_path, monkeypatch)
    answer = await verb.prune(made.io, {}, importing=False)
    assert answer == {
        "dry_run": False, "blobs": [made.loose.blob], "size_bytes": 5, "images_kept": 1,
    }  # fmt: skip
    assert not has_blob(tmp_path, made.loose)
    assert missing_blobs(tmp_path, read_records(tmp_path)[0]) == ()
    assert len(made.told) == 1


async def test_a_dry_run_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = head(tmp_path, monkeypatch)
    answer: Any = await verb.prune(made.io, {"dry_run": True}, importing=True)
    assert answer["blobs"] == [made.loose.blob]
    assert has_blob(tmp_path, made.loose) and not made.told


async def test_what_is_new_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = head(tmp_path, monkeypatch, later_s=3000)
    answer: Any = await verb.prune(made.io, {}, importing=False)
    assert answer["blobs"] == [] and has_blob(tmp_path, made.loose)


@pytest.mark.parametrize(
    ("args", "importing", "code"),
    [({}, True, "image.busy"), ({"dry_run": 0}, False, "image.prune")],
)
async def test_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: Any, importing: bool, code: str
) -> None:
    made = head(tmp_path, monkeypatch)
    with pytest.raises(KedgeError) as caught:
        await verb.prune(made.io, args, importing=importing)
    assert caught.value.code == code
    assert has_blob(tmp_path, made.loose)


async def test_a_damaged_record_keeps_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = head(tmp_path, monkeypatch)
    (tmp_path / "images" / "damaged.json").write_text("{")
    with pytest.raises(KedgeError, match="no blob is removed"):
        await verb.prune(made.io, {}, importing=False)
    assert has_blob(tmp_path, made.loose)
