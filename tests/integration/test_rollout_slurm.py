"""A rollout through a real Slurm with running jobs; only power, boot and image are simulated machines."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_slurm import batch, files, fresh, master, pytestmark, row, service, until

from kedge.master.assembly import Master
from slurm_cluster import Slurm

__all__ = ("batch", "fresh", "pytestmark")

ROLLOUT = """
max_unavailable: 2
on_failure: %s
gates:
  job:
    command: |
      export SLURM_CONF=%s
      sbatch --wait -o /dev/null -D / -w {nodes} -N {count} -C kedge_{release} --wrap='exit %d'
    deadline: 40s
stages:
  - { name: canary, count: 1, gates: [job] }
  - { name: rest, rest: true }
"""


class Rolling:
    """A rollout of B on a cluster that runs A, and what Slurm says all the while."""

    def __init__(self, started: Master, batch: Slurm) -> None:
        self.started = started
        self.batch = batch
        self.most_out = 0

    def begin(self, on_failure: str, status: int) -> None:
        text = ROLLOUT % (on_failure, self.batch.conf, status)
        self.started.operations.apply({**files("1"), "rollouts/weekly.yaml": text}, "test")
        self.started.operations.rollouts.start("weekly", "B", "test")

    def shown(self) -> dict[str, Any]:
        return self.started.operations.rollouts.show("weekly")

    def look(self, person: int) -> None:
        """Count the nodes that take no jobs, as Slurm says; ``person`` ones are out anyway."""
        lines = self.batch.run("sinfo", "-h", "-N", "-o", "%N %T").splitlines()
        out = [line for line in lines if "drain" in line or "down" in line]
        self.most_out = max(self.most_out, len(out))
        assert self.most_out <= max(2, person), out

    async def until(
        self, holds: Callable[[dict[str, Any]], object], *, person: int = 0, most_s: float = 110
    ) -> dict[str, Any]:
        end = asyncio.get_running_loop().time() + most_s
        while asyncio.get_running_loop().time() < end:
            await asyncio.to_thread(self.look, person)
            found = self.shown()
            if holds(found):
                return found
            await asyncio.sleep(0.2)
        raise AssertionError(f"not in time: {self.shown()}")


def jobs_seen(started: Master, node: str) -> object:
    return started.operations.node(node)["discovered"]["scheduler.jobs"]["value"]


def state(started: Master, node: str) -> str:
    return row(started, node)["symbols"]["scheduler.state"]


async def test_no_job_is_killed_and_every_node_gets_there(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with master(tmp_path, fresh, monkeypatch) as started:
        rolling = Rolling(started, fresh)
        jobs = {
            name: await asyncio.to_thread(fresh.submit, name, seconds)
            for name, seconds in (("n1", 45), ("n2", 15), ("n3", 3))
        }
        await until(lambda: jobs_seen(started, "n1"), "Kedge to see the job")
        fresh.run("scontrol", "update", "nodename=n5", "state=drain", "reason=broken fan")
        rolling.begin("pause", 0)
        found = await rolling.until(lambda f: f["stages"][0]["state"] == "done", person=1)
        assert found["stages"][0]["gates"][0]["state"] == "passed", found
        assert fresh.job(jobs["n1"]) == "RUNNING", "an idle node was the canary"
        found = await rolling.until(lambda f: f["state"] == "done", person=1)
        assert "left as they were: n5" in found["why"]
        assert {fresh.job(job) for job in jobs.values()} == {"COMPLETED"}
        for name in ("n1", "n2", "n3", "n4", "n6"):
            shown = fresh.shown(name)
            assert "kedge_B" in shown and "DRAIN" not in shown, shown
        shown = fresh.shown("n5")
        assert "State=IDLE+DRAIN" in shown and "Reason=broken fan" in shown
        assert "kedge_A" in shown
        assert "drained by person" in str(found["aside"])


async def test_a_broken_release_goes_back_and_jobs_never_see_it(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with master(tmp_path, fresh, monkeypatch) as started:
        rolling = Rolling(started, fresh)
        job = await asyncio.to_thread(fresh.submit, "n1", 30)
        await until(lambda: jobs_seen(started, "n1"), "Kedge to see the job")
        rolling.begin("rollback", 1)
        found = await rolling.until(lambda f: f["state"] == "rolled_back")
        assert "gate job of stage canary failed: status 1" in found["why"]
        await asyncio.sleep(1.0)
        assert fresh.job(job) in ("RUNNING", "COMPLETED")
        assert row(started, "n1")["symbols"]["boot.stage"] == "running"
        assert service(started) == {"converged"}
        assert all("kedge_A" in fresh.shown(name) for name in fresh.names)
        log = started.operations.events(limit=5000)
        moved = {
            e["nodes"] for e in log if e["what"] == "step" and e["subject"] == "scheduler.drain"
        }
        assert "n1" not in moved, "no node with a job was touched"


async def test_a_silent_scheduler_is_a_named_wait(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kedge.modules.scheduler.reading.STALE_LEAST_S", 2.0)
    async with master(tmp_path, fresh, monkeypatch) as started:
        rolling = Rolling(started, fresh)
        fresh.stop("slurmctld")
        try:
            await until(lambda: state(started, "n6") == "unknown", "the silence to be noticed", 40)
            rolling.begin("pause", 0)
            await asyncio.sleep(3.0)
            found = rolling.shown()
            assert found["waits"] == [
                "for the scheduler, or the nodes themselves, to tell of n[1-6]"
            ], found
            assert found["done"] == 0 and found["stages"][0]["on_release"] == 0
        finally:
            fresh.start_controller()
        await rolling.until(lambda f: f["state"] == "done")


REFRAME = """
max_unavailable: 2
gates:
  suite: { reframe: { checks: rollouts/suite.py, config: rollouts/settings.py }, deadline: 90s }
stages:
  - { name: canary, count: 2, gates: [suite] }
  - { name: rest, rest: true }
"""
SUITE = """
import reframe as rfm
import reframe.utility.sanity as sn

@rfm.simple_test
class Carries(rfm.RunOnlyRegressionTest):
    valid_systems = ['*']
    valid_prog_environs = ['*']
    executable = 'echo'
    executable_opts = ['on', '$SLURMD_NODENAME']

    @sanity_function
    def on_one_of_the_canaries(self):
        return sn.assert_found(r'on n[%s]$', self.stdout)
"""
REFRAME_SETTINGS = """
site_configuration = {
    'systems': [{
        'name': 'lab', 'hostnames': ['.*'], 'partitions': [{
            'name': 'all', 'scheduler': 'squeue', 'launcher': 'local', 'access': ['-p all'],
            'environs': ['builtin'], 'sched_options': {'job_submit_timeout': 20},
        }],
    }],
    'environments': [{'name': 'builtin'}],
}
"""


BIN = str(Path(sys.executable).parent)


@pytest.mark.parametrize(("canaries", "state"), [("12", "done"), ("9", "paused")])
async def test_a_reframe_suite_judges_the_updated_nodes(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canaries: str, state: str
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(fresh.conf))
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    async with master(tmp_path / "state", fresh, monkeypatch) as started:
        rolling = Rolling(started, fresh)
        more = {
            "rollouts/weekly.yaml": REFRAME,
            "rollouts/suite.py": SUITE % canaries,
            "rollouts/settings.py": REFRAME_SETTINGS,
        }
        started.operations.apply({**files("1"), **more}, "test")
        started.operations.rollouts.start("weekly", "B", "test")
        found = await rolling.until(lambda f: f["state"] in ("done", "paused"), most_s=110)
        log = (tmp_path / "state/rollouts/weekly/canary.suite.log").read_text()
        assert found["state"] == state, (found, log)
        assert "Ran 2/2 test case(s)" in log and "Carries" in log, log
