from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest
from layer0_head import Blobs

from kedge.agent.fetch import Wanted, fetch
from kedge.lib.errors import KedgeError

CONTENT = os.urandom(700_000)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
WANTED = Wanted(DIGEST, len(CONTENT))


@pytest.fixture
def url(blobs: Blobs) -> str:
    (blobs.directory / DIGEST.removeprefix("sha256:")).write_bytes(CONTENT)
    return f"http://127.0.0.1:{blobs.port}"


def bring(url: str, target: Path, give_up_s: float = 5.0) -> list[int]:
    seen: list[int] = []
    fetch(url, WANTED, target, seen.append, give_up_s=give_up_s)
    return seen


def test_a_blob_arrives_and_progress_is_told(url: str, tmp_path: Path) -> None:
    seen = bring(url, tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == CONTENT
    assert seen == sorted(seen) and seen[-1] == len(CONTENT)


def test_what_is_there_is_not_fetched_again(url: str, blobs: Blobs, tmp_path: Path) -> None:
    bring(url, tmp_path / "layer")
    count = len(blobs.requests)
    bring(url, tmp_path / "layer")
    assert len(blobs.requests) == count


def test_a_damaged_file_on_the_node_is_not_trusted(url: str, tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(CONTENT[:-1] + b"?")
    bring(url, tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == CONTENT


def test_a_broken_connection_is_resumed_where_it_broke(
    url: str, blobs: Blobs, tmp_path: Path
) -> None:
    blobs.break_after[DIGEST] = 300_000
    bring(url, tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == CONTENT
    assert blobs.requests[-1] == (DIGEST, "bytes=300000-")


def test_corrupt_content_is_refused_and_thrown_away(url: str, blobs: Blobs, tmp_path: Path) -> None:
    blobs.corrupt.add(DIGEST)
    with pytest.raises(KedgeError) as caught:
        bring(url, tmp_path / "layer")
    assert caught.value.code == "image.corrupt"
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


def test_corruption_once_on_the_way_is_overcome(url: str, blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "layer.part").write_bytes(b"x" * 1000)  # what an earlier attempt left
    bring(url, tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == CONTENT


def test_a_blob_that_the_head_does_not_have(url: str, blobs: Blobs, tmp_path: Path) -> None:
    (blobs.directory / DIGEST.removeprefix("sha256:")).unlink()
    with pytest.raises(KedgeError) as caught:
        bring(url, tmp_path / "layer")
    assert caught.value.code == "image.refused"
    assert "404" in caught.value.why


def test_a_head_that_is_away_is_given_up_in_the_end(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(KedgeError) as caught:
        bring(f"http://127.0.0.1:{port}", tmp_path / "layer", give_up_s=0.2)
    assert caught.value.code == "image.unreachable"
    assert "refused" in caught.value.why


def test_a_blob_longer_than_promised_is_cut_off(url: str, blobs: Blobs, tmp_path: Path) -> None:
    (blobs.directory / DIGEST.removeprefix("sha256:")).write_bytes(CONTENT + b"more")
    with pytest.raises(KedgeError):
        bring(url, tmp_path / "layer", give_up_s=0.2)
    assert not (tmp_path / "layer").exists()


def test_the_quicker_checksum_is_checked_where_it_is_known(url: str, tmp_path: Path) -> None:
    right = hashlib.sha512(CONTENT).hexdigest()
    fetch(url, WANTED._replace(sha512=right), tmp_path / "layer", print, give_up_s=5)
    assert (tmp_path / "layer").read_bytes() == CONTENT
    with pytest.raises(KedgeError) as caught:
        fetch(url, WANTED._replace(sha512="0" * 128), tmp_path / "layer", print, give_up_s=5)
    assert caught.value.code == "image.corrupt" and right in caught.value.why
    assert not (tmp_path / "layer").exists()
