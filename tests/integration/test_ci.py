"""``kedge ci`` with a real bare git repository: a push, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_releases import Cluster, running
from test_rollouts import WEEKLY, environment

from kedge.ci.description import read_pipeline
from kedge.lib.errors import KedgeError, KedgeErrors

CI = """
release: "r-{short}"
apply: true
rollout: weekly
steps:
  - { name: images, run: 'echo built $KEDGE_RELEASE for $KEDGE_COMMIT', deadline: 30s }
  - { name: gates, run: 'test -f motd.j2 && sh gate.sh', deadline: 30s }
"""
__all__ = ("environment",)


class Repository:
    """A bare repository, a clone of it, and the site in it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.bare = folder / "site.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.bare], check=True)
        cluster.write("1")
        (cluster.site / "gate.sh").write_text("exit 0\n")
        (cluster.site / "ci.yaml").write_text(CI)
        (cluster.site / "rollouts").mkdir()
        (cluster.site / "rollouts/weekly.yaml").write_text(WEEKLY % (folder, 0, "30s"))
        cluster.git("init", "-q", "-b", "main")
        cluster.git("remote", "add", "origin", str(self.bare))

    def push(self, message: str) -> str:
        self.cluster.git("add", ".")
        self.cluster.git("commit", "-q", "-m", message)
        self.cluster.git("push", "-q", "origin", "main")
        return self.cluster.git("rev-parse", "HEAD")

    async def status(self, run: int, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        capsys.readouterr()
        await self.cluster.kedge("ci", "status", str(self.bare), str(run), "-o", "json")
        return json.loads(capsys.readouterr().out or "{}")

    async def ended(self, run: int, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        begin = time.monotonic()
        found: dict[str, Any] = {}
        while time.monotonic() - begin < 60:
            found = await self.status(run, capsys)
            if found.get("state") not in (None, "waiting", "running"):
                return found
            await asyncio.sleep(0.2)
        pytest.fail(f"not in time: {found}, {self.bare / 'kedge-ci/detached.log'}")


async def test_a_push_becomes_a_release_and_a_rollout(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(environment) as cluster:
        repository = Repository(cluster, environment)
        assert await cluster.kedge("apply", str(cluster.site), "--yes", "--wait") == 0
        assert await cluster.kedge("ci", "hook", str(repository.bare)) == 0
        hook = repository.bare / "hooks/post-receive"
        kedge = Path(sys.executable).with_name("kedge")
        assert str(kedge) in hook.read_text()
        commit = await asyncio.to_thread(repository.push, "one")
        found = await repository.ended(1, capsys)
        assert found["state"] == "passed", found
        assert [step["name"] for step in found["steps"]] == [
            "images", "gates", "apply", "release", "rollout",
        ]  # fmt: skip
        log = Path(found["steps"][0]["log"]).read_text()
        assert log == f"built r-{commit[:8]} for {commit}\n"
        (row,) = cluster.operations.releases.every()
        assert row["name"] == f"r-{commit[:8]}" and row["commit"] == commit
        assert cluster.operations.rollouts.show("weekly")["release"] == row["name"]
        begin = time.monotonic()
        while time.monotonic() - begin < 60:  # it stops before the stage that needs approval
            shown = cluster.operations.rollouts.show("weekly")
            if shown["waits"] and "for approval" in shown["waits"][0]:
                break
            await asyncio.sleep(0.2)
        assert "for approval" in shown["waits"][0] and shown["done"] == 2


async def test_a_branch_that_is_polled_runs_once_for_each_commit(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(environment) as cluster:
        repository = Repository(cluster, environment)
        assert await cluster.kedge("apply", str(cluster.site), "--yes", "--wait") == 0
        first = await asyncio.to_thread(repository.push, "one")
        polling = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kedge.cli.main", "ci", "poll", repository.bare, "--every", "1"
        )  # fmt: skip
        try:
            found = await repository.ended(1, capsys)
            assert (found["state"], found["commit"]) == ("passed", first), found
            await asyncio.sleep(2.5)
            assert await repository.status(2, capsys) == {}, "there is nothing new"
            (cluster.site / "gate.sh").write_text("exit 1\n")
            second = await asyncio.to_thread(repository.push, "two")
            found = await repository.ended(2, capsys)
            assert (found["state"], found["commit"]) == ("failed", second), found
            (row,) = cluster.operations.releases.every()
            assert row["commit"] == first and polling.returncode is None, "it goes on looking"
        finally:
            polling.terminate()
            await polling.wait()


async def test_a_step_that_fails_or_never_ends_ends_the_run(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(environment) as cluster:
        repository = Repository(cluster, environment)
        assert await cluster.kedge("apply", str(cluster.site), "--yes") == 0
        (cluster.site / "gate.sh").write_text("echo too slow; exit 7\n")
        await asyncio.to_thread(repository.push, "bad")
        assert await cluster.kedge("ci", "run", str(repository.bare)) == 4
        found = await repository.status(1, capsys)
        assert found["state"] == "failed" and "status 7" in found["why"]
        assert "too slow" in found["why"]
        assert [s["state"] for s in found["steps"]] == ["passed", "failed", *["to come"] * 3]
        assert cluster.operations.releases.every() == []
        (cluster.site / "gate.sh").write_text("sleep 1000.25\n")
        text = CI.replace("gate.sh', deadline: 30s", "gate.sh', deadline: 1s")
        (cluster.site / "ci.yaml").write_text(text)
        await asyncio.to_thread(repository.push, "endless")
        assert await cluster.kedge("ci", "run", str(repository.bare)) == 4
        found = await repository.status(2, capsys)
        assert "did not end within 1 s" in found["why"]
        shown = subprocess.run(["ps", "ax"], capture_output=True, check=True).stdout
        assert b"1000.25" not in shown
        assert await cluster.kedge("ci", "watch", str(repository.bare)) == 4


async def test_a_commit_that_was_overtaken_is_left_to_the_later_one(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(environment) as cluster:
        repository = Repository(cluster, environment)
        assert await cluster.kedge("apply", str(cluster.site), "--yes") == 0
        first = await asyncio.to_thread(repository.push, "one")
        (cluster.site / "motd.j2").write_text("two")
        await asyncio.to_thread(repository.push, "two")
        bare = str(repository.bare)
        assert await cluster.kedge("ci", "run", bare, "--commit", first) == 0
        assert (await repository.status(1, capsys))["state"] == "superseded"
        assert cluster.operations.releases.every() == []
        capsys.readouterr()
        assert await cluster.kedge("ci", "run", bare) == 0
        assert await cluster.kedge("ci", "status", bare) == 0
        assert "superseded" in capsys.readouterr().out


def test_what_is_wrong_in_ci_yaml_is_said() -> None:
    with pytest.raises(KedgeErrors) as caught:
        read_pipeline(
            "steps: [{ name: a, run: x }, { name: b, run: x, deadline: soon }]\nsteps2: 1"
        )
    words = str(caught.value)
    assert "a name, a command (run) and a deadline" in words
    assert "must be a duration" in words and "unknown key of ci.yaml 'steps2'" in words
    with pytest.raises(KedgeError, match="must be a mapping"):
        read_pipeline("- 1")
