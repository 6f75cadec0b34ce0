from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kedge.agent.duties import host_files
from kedge.lib.errors import KedgeError


def record(**files: str) -> dict[str, bytes]:
    listed = [
        {"path": "/" + name.replace("_", "/"), "mode": "0640", "uid": os.getuid(),
         "gid": os.getgid(), "content": base64.b64encode(text.encode()).decode()}
        for name, text in files.items()
    ]  # fmt: skip
    return {"files": json.dumps(listed).encode()}


def test_files_come_change_and_give_way_to_the_images_own(place_at: Any, tmp_path: Path) -> None:
    place = place_at("running")
    etc = tmp_path / "root/etc"
    etc.mkdir()
    (etc / "motd").write_text("of the image")
    (etc / "motd").chmod(0o604)

    first = host_files.apply(place, host_files.parse(record(etc_motd="ours", etc_new="n")))
    assert (etc / "motd").read_text() == "ours"
    assert (etc / "new").stat().st_mode & 0o777 == 0o640

    second = host_files.apply(place, host_files.parse(record(etc_motd="ours, changed")))
    assert first != second
    assert (etc / "motd").read_text() == "ours, changed"
    assert not (etc / "new").exists()

    host_files.apply(place, host_files.parse(record()))
    assert (etc / "motd").read_text() == "of the image"
    assert (etc / "motd").stat().st_mode & 0o777 == 0o604


def test_the_same_list_has_the_same_digest(place_at: Any) -> None:
    files = host_files.parse(record(etc_b="1", etc_a="2"))
    turned = host_files.parse(record(etc_a="2", etc_b="1"))
    assert host_files.apply(place_at("running"), files) == host_files.apply(
        place_at("running"), turned
    )


@pytest.mark.parametrize("content", [b"no json", b'{"a": 1}', b'[{"path": "etc/x"}]'])
def test_a_bad_list_writes_nothing(content: bytes) -> None:
    with pytest.raises(KedgeError) as caught:
        host_files.parse({"files": content})
    assert caught.value.code == "files.refused"
