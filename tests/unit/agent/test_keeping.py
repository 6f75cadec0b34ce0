from __future__ import annotations

import os
from pathlib import Path

from kedge.agent.keeping import Keeping


def test_what_is_kept_is_for_root_alone_and_whole(tmp_path: Path) -> None:
    os.umask(0o022)
    keeping = Keeping(tmp_path / "agent")
    keeping.save("session", b"secret")
    keeping.save("session", b"another")
    assert keeping.load("session") == b"another"
    assert (tmp_path / "agent").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "agent/session").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in (tmp_path / "agent").iterdir()] == ["session"]
    keeping.forget("session")
    assert keeping.load("session") is None


def test_damaged_objects_count_as_none(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    keeping.save_object("state.json", {"a": 1})
    assert keeping.load_object("state.json") == {"a": 1}
    for damaged in (b"{", b"[1]", b"\xff"):
        keeping.save("state.json", damaged)
        assert keeping.load_object("state.json") == {}
