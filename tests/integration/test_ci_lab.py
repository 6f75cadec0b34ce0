"""The whole way of a push, as `examples/03-ci` has it: built, booted in the lab, made into a release, rolled.

The rollout stops behind the test node. Only the site's own machines are not there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_ci import Repository
from test_releases import running
from test_rollouts import environment

__all__ = ("environment",)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("mmdebstrap"), reason="needs root and mmdebstrap"
    ),
]
EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_a_push_is_built_booted_and_rolled_to_the_test_node(
    environment: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEDGE", str(Path(sys.executable).with_name("kedge")))
    async with running(environment) as cluster:
        repository = Repository(cluster, environment)
        git = cluster.site / ".git"
        git.rename(environment / "git")
        shutil.rmtree(cluster.site)
        shutil.copytree(EXAMPLES / "03-ci", cluster.site)
        shutil.copytree(EXAMPLES / "images", cluster.site / "images")
        (environment / "git").rename(git)
        assert await cluster.kedge("apply", str(cluster.site), "--yes", "--wait") == 0
        commit = await asyncio.to_thread(repository.push, "one")
        assert await cluster.kedge("ci", "run", str(repository.bare)) == 0
        found = await repository.ended(1, capsys)
        assert found["state"] == "passed" and found["commit"] == commit, found
        steps = {step["name"]: step for step in found["steps"]}
        assert list(steps) == ["images", "boot", "apply", "release", "rollout"]
        log = Path(steps["boot"]["log"]).read_text()
        print(f"boot took {steps['boot']['seconds']:.0f} s\n{log[-1500:]}")
        assert "converged" in log
        assert not Path("/run/kedge-lab/ci").exists(), "nothing is left behind"
        assert b"kedge-lab-ci" not in subprocess.run(["ip", "netns"], capture_output=True).stdout
        while not (shown := cluster.operations.rollouts.show("weekly"))["waits"] or (
            "for approval of stage canary" not in shown["waits"][0]
        ):
            await asyncio.sleep(0.5)
        assert shown["done"] == 1 and shown["release"] == found["release"]
