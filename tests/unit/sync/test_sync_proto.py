"""The generated code is that of the contract, and loads in the oldest protobuf that we meet."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "proto/kedge/sync/v1/sync.proto"
MADE = ROOT / "src/kedge/sync/v1/sync_pb2.py"


def test_the_generated_code_is_of_this_contract():
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    said = MADE.read_text().splitlines()[-1]
    assert said == f"# source sha256: {digest}", "stale: run scripts/proto"


@pytest.mark.skipif(shutil.which("protoc") is None, reason="needs Debian's protobuf-compiler")
def test_making_it_again_gives_the_same(tmp_path: Path):
    done = subprocess.run(
        [ROOT / "scripts/proto", tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 1 and "needs protoc 3.21" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    for name in ("sync_pb2.py", "sync_pb2.pyi"):
        made = tmp_path / "kedge/sync/v1" / name
        assert made.read_text() == MADE.with_name(name).read_text(), "stale: run scripts/proto"


def test_the_generated_code_asks_for_nothing_newer_than_protobuf_3_21():
    text = MADE.read_text()
    assert "runtime_version" not in text
    assert "from google.protobuf.internal import builder" in text
