"""Room that becomes short is told as long as it is, and an import that does not fit is refused before."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kedge.lib.errors import KedgeError, NotNow
from kedge.master.process import space
from kedge.modules.image import room


def host(free: int) -> Any:
    return SimpleNamespace(free_bytes=lambda place: free)


def test_short_room_is_told_until_it_is_there_again(tmp_path: Path) -> None:
    failing: dict[str, str] = {}
    space.look(host(space.LOW_BYTES), tmp_path, failing)
    assert failing == {}
    space.look(host(1_200_000_000), tmp_path, failing)
    assert "only 1.2 GB are free" in failing["space"] and str(tmp_path) in failing["space"]
    assert "kedge image prune --unused" in failing["space"]
    space.look(host(space.LOW_BYTES), tmp_path, failing)
    assert failing == {}


def test_a_place_that_is_gone_is_told(tmp_path: Path) -> None:
    failing: dict[str, str] = {}
    space.look(space.Host(), tmp_path / "gone", failing)
    assert "cannot be looked at" in failing["space"]


def test_an_import_that_does_not_fit_is_refused_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = room.SPARE_BYTES + 2_000
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(room, "shutil", cast("Any", SimpleNamespace(disk_usage=lambda _: usage)))
    room.refuse_without_room(tmp_path, "r/c:1", 1_000)
    usage.free = room.SPARE_BYTES - 1
    room.refuse_without_room(tmp_path, "r/c:1", 0)  # all of it is here
    with pytest.raises(NotNow) as caught:
        room.refuse_without_room(tmp_path, "r/c:1", 3_000_000_000)
    assert caught.value.code == "image.no_space" and "6.3 GB" in caught.value.why
    assert "kedge image prune --unused" in caught.value.next_step


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        KedgeError("image.convert_failed", "no squashfs", why="Write failed because No space left on device"),
    ],
)  # fmt: skip
def test_a_disk_that_fills_up_meanwhile_has_the_same_name(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(NotNow) as caught, room.saying_when_full(tmp_path, "r/c:1"):
        raise error
    assert caught.value.code == "image.no_space" and caught.value.where == "r/c:1"
    assert "kedge image prune --unused" in caught.value.next_step


@pytest.mark.parametrize("error", [OSError(errno.EIO, "x"), KedgeError("image.not_found", "x")])
def test_other_errors_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, room.saying_when_full(tmp_path, "r/c:1"):
        raise error
    assert caught.value is error
