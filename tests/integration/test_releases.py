"""Releases over the real master: made from a folder or a commit, laid over the site, taken back."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kedge.api.server import api_serving
from kedge.cli.main import run
from kedge.core.kinds import Text
from kedge.core.module import Module
from kedge.master.operations.operations import Operations
from kedge.master.process.settings import Settings
from kedge.master.serve import installed_modules, serving
from kedge.sim.devices import simulated

SITE = """
cluster: { name: test, domain: test.example }
networks: { provision: { cidr: 10.77.0.0/16 } }
groups:
  all: { nodes: "n[1-8]", profiles: [compute] }
nodes:
  "n[1-8]": { addresses: { provision: "10.77.1.{number}" } }
  "n8": { boot.arch: aarch64 }
"""
PROFILES = """
# what nodes run
profiles:
  compute:
    power.state: on
    image.wanted: registry.example:5000/compute:%s
    files:
      /etc/motd: motd.j2
"""


def modules() -> list[Module]:
    found = installed_modules()
    if all(module.name != "release" for module in found):
        release = Module("release", summary="Which release a node shall run")
        release.variable("wanted", Text(), configured=True, summary="The release")
        found.append(release)
    return found


class Cluster:
    """A master on machines that are not there, and the commands."""

    def __init__(self, folder: Path, operations: Operations) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.operations = operations

    def write(self, image: str, motd: str = "hello {{ node.name }}") -> None:
        (self.site / "cluster.yaml").write_text(SITE)
        (self.site / "profiles.yaml").write_text(PROFILES % image)
        (self.site / "motd.j2").write_text(motd)

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example", *words]
        return subprocess.run(
            command, cwd=self.site, check=True, capture_output=True, text=True
        ).stdout.strip()

    async def kedge(self, *words: str) -> int:
        return await asyncio.to_thread(run, list(words))

    async def wanted(self, node: str) -> dict[str, Any]:
        return self.operations.node(node)["configured"]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Cluster]:
    settings = Settings(
        folder / "state", folder / "state" / "api.sock", sync_address="127.0.0.1", sync_port=0
    )
    made = simulated(modules(), pace=0.002)
    async with serving(settings, made) as ops, api_serving(ops, settings):
        yield Cluster(folder, ops)


@pytest_asyncio.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    state = tmp_path / "state"
    monkeypatch.setenv("KEDGE_API", str(state / "api.sock"))
    monkeypatch.setenv("KEDGE_TOKEN_FILE", str(state / "api.token"))
    (tmp_path / "site").mkdir()
    async with running(tmp_path) as cluster:
        cluster.write("1")
        yield cluster


async def test_two_releases_live_side_by_side(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    site = str(cluster.site)
    assert await cluster.kedge("apply", site, "--yes") == 0
    assert await cluster.kedge("release", "create", "A", "--site", site) == 0
    cluster.write("2", "goodbye")
    assert await cluster.kedge("release", "create", "B", "--site", site) == 0
    assert await cluster.kedge("node", "set", "n[1-4]", "release.wanted=A", "--yes") == 0
    assert await cluster.kedge("node", "set", "n[5-6,8]", "release.wanted=B", "--yes") == 0
    image_a, image_b = (await cluster.wanted("n1"))["image.wanted"], None
    image_b = (await cluster.wanted("n5"))["image.wanted"]
    assert image_a["value"].startswith("registry.example:5000/compute:1@sha256:")
    assert image_b["value"].startswith("registry.example:5000/compute:2@sha256:")
    assert image_b["origin"] == "release B: profile compute (profiles.yaml:6)"
    assert (await cluster.wanted("n8"))["image.wanted"]["value"] != image_b["value"]
    plain = (await cluster.wanted("n7"))["image.wanted"]
    assert plain["value"].endswith("compute:1") and plain["origin"].startswith("profile compute")
    capsys.readouterr()
    assert await cluster.kedge("release", "list", "-o", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["nodes"], row["images"]) for row in rows] == [
        ("A", "n[1-4]", 2),
        ("B", "n[5-6,8]", 2),
    ]
    assert await cluster.kedge("release", "diff", "A", "B", "-o", "json") == 0
    fields = {row["field"] for row in json.loads(capsys.readouterr().out)}
    assert fields == {"image.wanted", "files./etc/motd", "release.wanted"}
    # going back is another assignment, and what was bound is what comes back
    assert await cluster.kedge("node", "set", "n5", "release.wanted=A", "--yes") == 0
    assert (await cluster.wanted("n5"))["image.wanted"]["value"] == image_a["value"]
    assert await cluster.kedge("wait", "n[1-7]", "--timeout", "60") == 0


async def test_a_release_never_changes(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    site = str(cluster.site)
    assert await cluster.kedge("apply", site, "--yes") == 0
    assert await cluster.kedge("release", "create", "A", "--site", site) == 0
    assert await cluster.kedge("release", "create", "A", "--site", site) == 0  # it is the same
    cluster.write("2")
    assert await cluster.kedge("release", "create", "A", "--site", site) == 1
    assert "never changes" in capsys.readouterr().err
    assert await cluster.kedge("node", "set", "n1", "release.wanted=A", "--yes") == 0
    assert await cluster.kedge("release", "delete", "A", "--yes") == 1
    assert "that of n1" in capsys.readouterr().err
    assert await cluster.kedge("node", "unset", "n1", "release.wanted") == 0
    assert await cluster.kedge("release", "delete", "A", "--yes") == 0
    assert await cluster.kedge("node", "set", "n1", "release.wanted=A", "--yes") == 1
    assert "no release 'A'" in capsys.readouterr().err


async def test_an_image_that_is_not_there_refuses_the_release(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    site = str(cluster.site)
    assert await cluster.kedge("apply", site, "--yes") == 0
    cluster.write("missing")
    assert await cluster.kedge("release", "create", "B", "--site", site) == 1
    told = capsys.readouterr().err
    assert "needs the image registry.example:5000/compute:missing" in told
    assert cluster.operations.releases.every() == []


async def test_a_release_from_a_commit(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    site = str(cluster.site)
    cluster.git("init", "-q", "-b", "main")
    cluster.git("add", ".")
    cluster.git("commit", "-q", "-m", "one")
    commit = cluster.git("rev-parse", "HEAD")
    assert await cluster.kedge("apply", site, "--yes") == 0
    cluster.write("2")  # not committed: not in the release
    assert await cluster.kedge("release", "create", "A", "--from-git", "main", "--site", site) == 0
    capsys.readouterr()
    assert await cluster.kedge("release", "show", "A", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["commit"] == commit
    assert list(found["bound"]) == ["registry.example:5000/compute:1"]
    assert set(found["files"]) == {"motd.j2", "profiles.yaml"}
    assert await cluster.kedge("release", "create", "B", "--from-git", "no", "--site", site) == 1
    assert "git rev-parse failed" in capsys.readouterr().err


async def test_the_site_cannot_outgrow_a_release_in_use(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    site = str(cluster.site)
    assert await cluster.kedge("apply", site, "--yes") == 0
    assert await cluster.kedge("release", "create", "A", "--site", site) == 0
    assert await cluster.kedge("node", "set", "n1", "release.wanted=A", "--yes") == 0
    text = (cluster.site / "cluster.yaml").read_text().replace("[compute]", "[compute, gpu]")
    (cluster.site / "cluster.yaml").write_text(text)
    more = "  gpu: { image.wanted: 'registry.example:5000/gpu:1' }\n"
    (cluster.site / "profiles.yaml").write_text(PROFILES % "1" + more)
    assert await cluster.kedge("apply", site, "--yes") == 1
    assert "release A does not fit the site: unknown profile 'gpu'" in capsys.readouterr().err


async def test_releases_outlive_the_master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_API", str(tmp_path / "state" / "api.sock"))
    monkeypatch.setenv("KEDGE_TOKEN_FILE", str(tmp_path / "state" / "api.token"))
    (tmp_path / "site").mkdir()
    async with running(tmp_path) as cluster:
        cluster.write("1")
        assert await cluster.kedge("apply", str(cluster.site), "--yes") == 0
        assert await cluster.kedge("release", "create", "A", "--site", str(cluster.site)) == 0
        assert await cluster.kedge("node", "set", "n1", "release.wanted=A", "--yes") == 0
        before = (await cluster.wanted("n1"))["image.wanted"]
    async with running(tmp_path) as cluster:
        assert (await cluster.wanted("n1"))["image.wanted"] == before
