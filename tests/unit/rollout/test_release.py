"""A release's record: what was frozen once must be readable for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_fixture import MADE

from kedge.lib.errors import KedgeError
from kedge.rollout.release import FORMAT, check_name, read_release

FIXTURES = sorted(Path(__file__).parent.glob("fixtures/release-*.json"))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_releases_of_every_format_can_be_read(path: Path) -> None:
    assert read_release(json.loads(path.read_text())) == MADE


def test_there_is_a_frozen_release_of_this_format() -> None:
    assert f"release-{FORMAT}" in [path.stem for path in FIXTURES]
    frozen = Path(__file__).parent / "fixtures" / f"release-{FORMAT}.json"
    assert json.loads(frozen.read_text()) == MADE.as_record()


def test_a_newer_or_damaged_release_is_refused() -> None:
    record = MADE.as_record()
    with pytest.raises(KedgeError, match=f"has the format 99, this Kedge reads {FORMAT}"):
        read_release({**record, "format": 99})
    with pytest.raises(KedgeError, match="is not what was written"):
        read_release({**record, "files": {"motd": "ho"}})


def test_images_are_pinned_once() -> None:
    pinned = MADE.pinned("r.example/c:1", "x86_64")
    assert pinned == "r.example/c:1@sha256:" + "ab" * 32
    assert MADE.pinned(pinned, "x86_64") == pinned
    assert MADE.pinned("r.example/c:1", "aarch64") == "r.example/c:1"


def test_names_that_a_scheduler_could_not_carry_are_refused() -> None:
    check_name("2026.11-rc_1")
    for name in ("", "-a", "a b", "a/b", "a,b", "ü", "a" * 64):
        with pytest.raises(KedgeError, match="no name for a release"):
            check_name(name)
