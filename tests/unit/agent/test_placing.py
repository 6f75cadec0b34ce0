from __future__ import annotations

import os
from pathlib import Path

import pytest

from kedge.agent import placing
from kedge.lib.errors import KedgeError
from kedge.lib.host_files import HostFile

ME = {"uid": os.getuid(), "gid": os.getgid()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def test_a_file_gets_content_and_mode_and_missing_directories(root: Path) -> None:
    assert placing.place(str(root), HostFile("/etc/deep/key", b"secret", 0o600, **ME))
    written = root / "etc/deep/key"
    assert written.read_bytes() == b"secret"
    assert written.stat().st_mode & 0o7777 == 0o600
    assert (root / "etc").stat().st_mode & 0o7777 == 0o755


def test_writing_the_same_again_touches_nothing(root: Path) -> None:
    file = HostFile("/etc/motd", b"hello", **ME)
    placing.place(str(root), file)
    before = (root / "etc/motd").stat()
    assert not placing.place(str(root), file)
    assert (root / "etc/motd").stat().st_ino == before.st_ino


def test_a_new_mode_alone_is_applied(root: Path) -> None:
    placing.place(str(root), HostFile("/motd", b"hello", 0o644, **ME))
    assert placing.place(str(root), HostFile("/motd", b"hello", 0o600, **ME))
    assert (root / "motd").stat().st_mode & 0o7777 == 0o600


def test_an_absolute_link_is_followed_inside_the_root(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "etc").symlink_to(outside)  # points outside as seen from here
    placing.place(str(root), HostFile("/etc/motd", b"hello", **ME))
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "motd").read_bytes() == b"hello"


def test_dots_cannot_climb_out(root: Path, tmp_path: Path) -> None:
    (root / "etc").symlink_to("../../../../..")
    placing.place(str(root), HostFile("/etc/motd", b"hello", **ME))
    assert (root / "motd").read_bytes() == b"hello"
    assert not (tmp_path / "motd").exists()


def test_the_last_link_is_replaced_not_followed(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (root / "motd").symlink_to(victim)
    placing.place(str(root), HostFile("/motd", b"hello", **ME))
    assert victim.read_text() == "mine"
    assert not (root / "motd").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a link to another user")
def test_a_users_link_is_not_followed(root: Path) -> None:
    (root / "home").mkdir()
    (root / "root").mkdir()
    link = root / "home/.ssh"
    link.symlink_to("/root")
    os.chown(link, 1000, 1000, follow_symlinks=False)
    with pytest.raises(KedgeError) as caught:
        placing.place(str(root), HostFile("/home/.ssh/authorized_keys", b"key", **ME))
    assert "1000" in caught.value.why
    assert list((root / "root").iterdir()) == []


def test_a_circle_of_links_ends(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(KedgeError) as caught:
        placing.place(str(root), HostFile("/a/motd", b"hello", **ME))
    assert "links" in caught.value.why


def test_a_directory_or_a_file_in_the_way_is_named(root: Path) -> None:
    (root / "etc/motd").mkdir(parents=True)
    (root / "usr").write_text("a file")
    for path in ("/etc/motd", "/usr/motd"):
        with pytest.raises(KedgeError) as caught:
            placing.place(str(root), HostFile(path, b"hello", **ME))
        assert caught.value.code == "files.refused"
    assert [p.name for p in (root / "etc").iterdir()] == ["motd"]  # no draft is left


def test_reading_back_and_removing(root: Path) -> None:
    file = HostFile("/etc/motd", b"hello", 0o640, **ME)
    placing.place(str(root), file)
    assert placing.read(str(root), "/etc/motd") == file
    assert placing.exists(str(root), "/etc") and placing.exists(str(root), "/etc/motd")
    placing.remove(str(root), "/etc/motd")
    placing.remove(str(root), "/etc/motd")
    assert placing.read(str(root), "/etc/motd") is None
    assert not placing.exists(str(root), "/etc/motd")


def test_what_is_no_regular_file_is_not_read(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("pipe")
    for path in ("/pipe", "/link", "/nothing/at/all"):
        assert placing.read(str(root), path) is None
