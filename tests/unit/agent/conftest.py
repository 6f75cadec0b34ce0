"""What the agent's tests share: the tiny head of the lab tests, and a place below a temporary folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "lab"))

from layer0_head import NODE, Blobs, Head

from kedge.agent.boot_arguments import BootArguments
from kedge.agent.keeping import Keeping
from kedge.agent.place import Place


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[Blobs]:
    folder = tmp_path / "blobs"
    folder.mkdir()
    served = Blobs(folder)
    yield served
    served.close()


@pytest.fixture
def head() -> Iterator[Head]:
    started = Head(heartbeat_s=0.3)
    yield started
    started.close()


@pytest.fixture
def place_at(tmp_path: Path, head: Head):
    """Makes a `Place` of a stage whose paths lie below a temporary folder."""

    def make(stage: str, url: str = "http://127.0.0.1:1") -> Place:
        run, root = tmp_path / "run", tmp_path / "root"
        (run / "kedge").mkdir(parents=True, exist_ok=True)
        (root / "sysroot").mkdir(parents=True, exist_ok=True)
        parents = (("127.0.0.1", head.port),)
        boot = BootArguments(url, NODE, "52:54:00:77:00:01", 1, 1, parents, head.token)
        return Place(stage, boot, Keeping(run / "kedge" / "agent"), run, root)

    return make
