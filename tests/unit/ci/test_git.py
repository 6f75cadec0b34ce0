"""A site out of git: what is too large is refused before it is read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kedge.ci import git
from kedge.lib.errors import KedgeError


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in a repository, with a large file beside it and a hidden one in it."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "site.yaml").write_text("cluster: { name: x }\n")
    (folder / ".cache").write_bytes(bytes(50_000))
    (tmp_path / "large").write_bytes(bytes(50_000))
    who = ("-c", "user.name=a", "-c", "user.email=a@example", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "x")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, timeout=30)
    return folder


def test_a_folder_of_a_commit_is_read(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "MOST_BYTES", 1000)
    files, commit = git.read_commit(site, "HEAD")
    assert list(files) == ["site.yaml"] and len(commit) == 40


def test_a_folder_that_is_too_large_is_never_read(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = git.git

    def seen(folder: Path, *arguments: str, timeout_s: float = 60.0) -> bytes:
        asked.append(arguments[0])
        return real(folder, *arguments, timeout_s=timeout_s)

    monkeypatch.setattr(git, "git", seen)
    monkeypatch.setattr(git, "MOST_BYTES", 10)
    with pytest.raises(KedgeError) as caught:
        git.read_commit(site, "HEAD")
    assert caught.value.code == "site.too_large"
    assert "archive" not in asked
