"""Rollouts over the real master, engine, API and commands; only the machines are not there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from test_releases import Cluster, running

from kedge.lib.errors import KedgeError
from kedge.sim.devices import Machines

WEEKLY = """
summary: the weekly update
max_unavailable: 2
gates:
  hpl: { command: 'echo "$KEDGE_NODES" >> %s/gate.ran; exit %s', deadline: %s }
stages:
  - { name: canary, count: 2, gates: [hpl] }
  - { name: rest, rest: true, approval: manual }
"""


class Rolling:
    """A site with releases A and B and a rollout, on a running master."""

    def __init__(self, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
        self.cluster = cluster
        self.capsys = capsys

    def describe(self, text: str = "", status: int = 0, deadline: str = "30s") -> None:
        (self.cluster.site / "rollouts").mkdir(exist_ok=True)
        text = text or WEEKLY % (self.cluster.folder, status, deadline)
        (self.cluster.site / "rollouts/weekly.yaml").write_text(text)

    async def prepare(self, image: str = "2", **kept: Any) -> None:
        site = str(self.cluster.site)
        self.describe(**kept)
        await self.kedge("apply", site, "--yes", "--wait")
        await self.kedge("release", "create", "A", "--site", site)
        await self.kedge("node", "set", "n[1-8]", "release.wanted=A", "--yes", "--wait")
        self.cluster.write(image)
        await self.kedge("release", "create", "B", "--site", site)
        self.cluster.write("1")

    async def kedge(self, *words: str, status: int = 0) -> str:
        self.capsys.readouterr()
        found = await self.cluster.kedge(*words)
        told = self.capsys.readouterr()
        assert found == status, (words, told.err)
        return told.out + told.err

    async def until(
        self,
        holds: Callable[[dict[str, Any]], object],
        timeout_s: float = 60,
        *,
        machines_forget: bool = False,
    ) -> Any:
        found: dict[str, Any] = {}
        most_out = 0
        begin = time.monotonic()
        while time.monotonic() - begin < timeout_s:
            found = self.cluster.operations.rollouts.show("weekly")
            most_out = max(most_out, found["out"])
            assert machines_forget or most_out <= found["most_out"], found
            if holds(found):
                return found
            await asyncio.sleep(0.1)
        pytest.fail(f"not in time: {found}")

    def releases(self) -> dict[str, list[str]]:
        rows = self.cluster.operations.releases.every()
        return {row["name"]: row["nodes"] for row in rows}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEDGE_API", str(tmp_path / "state" / "api.sock"))
    monkeypatch.setenv("KEDGE_TOKEN_FILE", str(tmp_path / "state" / "api.token"))
    (tmp_path / "site").mkdir()
    return tmp_path


@asynccontextmanager
async def rolled(
    environment: Path, capsys: pytest.CaptureFixture[str], *, again: bool = False, **kept: Any
) -> AsyncGenerator[Rolling]:
    """A running master on which a rollout can start; ``again``: one that goes on with what the last left."""
    async with running(environment) as cluster:
        rolling = Rolling(cluster, capsys)
        if not again:
            cluster.write("1")
            await rolling.prepare(**kept)
        yield rolling


async def test_a_release_rolls_stage_by_stage(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rolled(environment, capsys) as rolling:
        plan = json.loads(
            await rolling.kedge("rollout", "plan", "weekly", "--release", "B", "-o", "json")
        )
        assert plan["end_s"] > 0 and min(plan["capacity"]) >= 6 and plan["unmoved"] == ""
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
        found = await rolling.until(lambda f: f["stages"][0]["state"] == "done")
        assert found["stages"][0]["gates"][0]["state"] == "passed"
        assert rolling.releases() == {"A": "n[3-8]", "B": "n[1-2]"}
        assert (environment / "gate.ran").read_text() == "n[1-2]\n"
        found = await rolling.until(lambda f: f["waits"] and "for approval" in f["waits"][0])
        assert "waits for approval" in await rolling.kedge("rollout", "status", "weekly")
        plan = json.loads(await rolling.kedge("rollout", "plan", "weekly", "-o", "json"))
        assert plan["unmoved"] == "", "those that have it already are moved"
        await rolling.kedge("rollout", "approve", "weekly")
        await rolling.kedge("rollout", "watch", "weekly")
        found = await rolling.until(lambda f: f["state"] == "done")
        assert rolling.releases() == {"A": "", "B": "n[1-8]"} and found["done"] == 8
        image = rolling.cluster.operations.node("n3")["discovered"]["image.running"]["value"]
        assert image.startswith("registry.example:5000/compute:2@sha256:")
        # and back, as easily
        await rolling.kedge("rollout", "rollback", "weekly", "--yes")
        await rolling.until(lambda f: f["state"] == "rolled_back")
        assert rolling.releases() == {"A": "n[1-8]", "B": ""}


async def test_a_failed_gate_stops_it_until_a_person_speaks(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rolled(environment, capsys, status=3) as rolling:
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
        found = await rolling.until(lambda f: f["state"] == "paused")
        assert "gate hpl of stage canary failed: status 3" in found["why"]
        await asyncio.sleep(2.5)
        assert rolling.releases() == {"A": "n[3-8]", "B": "n[1-2]"}
        assert await rolling.kedge("rollout", "watch", "weekly", status=4)
        await rolling.kedge("rollout", "rollback", "weekly", "--yes")
        await rolling.until(lambda f: f["state"] == "rolled_back")
        assert rolling.releases() == {"A": "n[1-8]", "B": ""}
        told = rolling.cluster.operations.events()
        assert {"paused", "rollback", "rolled_back"} <= {
            row["after"] for row in told if row["what"] == "rollout"
        }


async def test_a_gate_that_never_ends_is_ended(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = WEEKLY.replace("exit %s", "sleep 1000.5") % (environment, "1s")
    async with rolled(environment, capsys, text=text) as rolling:
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
        found = await rolling.until(lambda f: f["state"] == "paused")
        assert "did not end within 1 s" in found["why"]
        assert b"1000.5" not in subprocess.run(["ps", "ax"], capture_output=True, check=True).stdout
        await rolling.kedge("rollout", "resume", "weekly", "--accept")
        await rolling.until(lambda f: f["waits"] and "for approval" in f["waits"][0])


async def test_what_makes_no_sense_is_refused_before_anything_is_done(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rolled(environment, capsys) as rolling:
        site = str(rolling.cluster.site)
        cases = {
            "unknown gate 'hpll'": "stages: [{ name: a, count: 1, gates: [hpll] }]",
            "has no deadline": "gates: { g: { command: 'true' } }\nstages: [{ name: a, count: 1 }]",
            "does not say which nodes": "stages: [{ name: a }]",
            "must be a duration": "stages: [{ name: a, count: 1, deadline: soon }]",
            "unknown key of a stage 'cuont'": "stages: [{ name: a, cuont: 1, count: 1 }]",
        }
        for words, text in cases.items():
            rolling.describe("max_unavailable: 1\n" + text)
            assert words in await rolling.kedge("apply", site, "--yes", status=1)
        later = {
            "selects no node": "stages: [{ name: a, nodes: n1 }, { name: b, nodes: n1 }]",
            "would update all 8": "stages: [{ name: a, rest: true }]",
            "no such node: n9": "stages: [{ name: a, nodes: n9 }, { name: b, rest: true }]",
        }
        for words, text in later.items():
            rolling.describe("max_unavailable: 1\n" + text)
            await rolling.kedge("apply", site, "--yes")
            start = ("rollout", "start", "weekly", "--release", "B", "--yes")
            assert words in await rolling.kedge(*start, status=1)
        rolling.describe()
        (rolling.cluster.site / "rollouts/other.yaml").write_text(WEEKLY % (environment, 0, "5s"))
        await rolling.kedge("apply", site, "--yes")
        start = ("rollout", "start", "weekly", "--release")
        assert "no release 'C'" in await rolling.kedge(*start, "C", "--yes", status=1)
        await rolling.kedge(*start, "B", "--yes")
        assert "running already" in await rolling.kedge(*start, "B", "--yes", status=1)
        assert "needed by rollout weekly" in await rolling.kedge(
            "release", "delete", "B", "--yes", status=1
        )
        start = ("rollout", "start", "other", "--release", "B", "--yes")
        assert "would be in two rollouts" in await rolling.kedge(*start, status=1)
        await rolling.kedge("rollout", "abort", "weekly", "--yes")
        with pytest.raises(KedgeError, match="it is over"):
            rolling.cluster.operations.rollouts.say("weekly", "abort", "", False, "x")


async def test_a_node_that_a_person_holds_is_left_alone(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rolled(environment, capsys) as rolling:
        await rolling.kedge("node", "hold", "n5", "--reason", "ticket 7")
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
        await rolling.until(lambda f: f["waits"] and "for approval" in f["waits"][0])
        await rolling.kedge("rollout", "approve", "weekly")
        found = await rolling.until(lambda f: f["state"] == "done")
        assert "left as they were: n5" in found["why"]
        assert rolling.releases() == {"A": "n5", "B": "n[1-4,6-8]"}


SERVE = """
import asyncio, sys
sys.path[:0] = [{tests!r}, {here!r}]
from pathlib import Path
from test_releases import running

async def main():
    async with running(Path({folder!r})) as cluster:
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_killed_at_any_moment_it_goes_on(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The master is killed with -9 again and again; the rollout comes to the same end."""
    text = (WEEKLY % (environment, 0, "30s")).replace(", approval: manual", "")
    async with rolled(environment, capsys, text=text) as rolling:
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
    here = Path(__file__).parent
    code = SERVE.format(tests=str(here.parent), here=str(here), folder=str(environment))
    for pause_s in (0.3, 1.1, 1.9, 2.6):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ, text=True
        ) as served:
            assert served.stdout is not None and served.stdout.readline() == "up\n"
            await asyncio.sleep(pause_s)
            served.send_signal(signal.SIGKILL)
    async with rolled(environment, capsys, again=True) as rolling:
        await rolling.until(lambda f: f["state"] == "done", machines_forget=True)
        assert rolling.releases() == {"A": "", "B": "n[1-8]"}


COMPARED = """
max_unavailable: 2
gates:
  stream:
    compare: 'case {node} in n1|n2) echo "speed %s";; *) echo "speed 100.5";; esac'
    samples: 2
    most_samples: 5
    deadline: 60s
stages:
  - { name: canary, nodes: 'n[1-2]', gates: [stream] }
  - { name: rest, rest: true }
"""


@pytest.mark.parametrize(("speed", "state"), [("90", "paused"), ("99", "done")])
async def test_a_slower_release_fails_against_the_old_one(
    environment: Path, capsys: pytest.CaptureFixture[str], speed: str, state: str
) -> None:
    async with rolled(environment, capsys, text=COMPARED % speed) as rolling:
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
        found = await rolling.until(lambda f: f["state"] == state)
        told = found["stages"][0]["gates"][0]["why"]
        assert "slower than the old release" in told and "2 nodes against" in told, told


async def test_a_release_that_does_not_boot_goes_back_by_itself(
    environment: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary ends in quarantine on B; back on A it is well again, and nobody else was touched."""
    carry_out = Machines.carry_out

    async def broken(self: Any, mutation: Any, *rest: Any) -> None:
        wanted = str(rest[-2].configured("image.wanted"))
        if mutation.name == "image.activate" and "compute:2" in wanted:
            raise KedgeError("boot.panic", "the kernel panics")
        await carry_out(self, mutation, *rest)

    monkeypatch.setattr(Machines, "carry_out", broken)
    text = (WEEKLY % (environment, 0, "30s")).replace("count: 2", "count: 1")
    async with rolled(environment, capsys, text="on_failure: rollback\n" + text) as rolling:
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
        found = await rolling.until(lambda f: f["state"] == "rolling_back", 120)
        assert "the kernel panics" in found["why"] and "quarantined" in found["why"]
        found = await rolling.until(lambda f: f["state"] == "rolled_back", 120)
        assert rolling.releases() == {"A": "n[1-8]", "B": ""}
        rows = rolling.cluster.operations.status()
        assert {row["phase"] for row in rows} == {"converged"}
        log = rolling.cluster.operations.events(limit=10_000)
        assert sum(e["subject"] == "image.activate" and "panics" in e["cause"] for e in log) >= 3


async def test_a_gate_that_ran_when_the_head_ended_gets_all_its_time_again(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = WEEKLY.replace("exit %s", "test -f gate.go || sleep 1000.75") % (environment, "5s")
    async with rolled(environment, capsys, text=text) as rolling:
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
        await rolling.until(lambda f: f["stages"][0]["gates"][0]["state"] == "running")
        found = rolling.cluster.operations.rollouts.show("weekly")
        began = found["stages"][0]["gates"][0]["since"]
    gone = subprocess.run(["ps", "ax"], capture_output=True, check=True).stdout
    assert b"1000.75" not in gone, "it ended with the head"
    (environment / "state/rollouts/weekly/site").mkdir(parents=True, exist_ok=True)
    (environment / "state/rollouts/weekly/site/gate.go").write_text("")
    async with rolled(environment, capsys, again=True) as rolling:
        found = await rolling.until(
            lambda f: f["stages"][0]["state"] == "done", machines_forget=True
        )
        assert found["stages"][0]["gates"][0]["since"] > began
