"""A rollout's deadline that requeues, on a real Slurm: the job begins anew, and no other is touched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from test_rollout_slurm import Rolling, jobs_seen
from test_slurm import batch, files, fresh, master, pytestmark, row, service, until

from kedge.master.assembly import Master
from slurm_cluster import Slurm

__all__ = ("batch", "fresh", "pytestmark")

ROLLOUT = """
max_unavailable: 2
stages:
  - { name: late, nodes: n1, deadline: 4s, at_deadline: requeue }
  - { name: rest, rest: true }
"""
SUBMIT = ("sbatch", "--parsable", "-o", "/dev/null", "-D", "/", "-t", "5")
LONG_THEN_SHORT = '--wrap=test -n "$SLURM_RESTART_COUNT" || sleep 100'


async def begin(started: Master, fresh: Slurm) -> dict[str, Any]:
    """Start the rollout; how it stands when its first stage is late."""
    rolling = Rolling(started, fresh)
    await until(lambda: jobs_seen(started, "n1"), "Kedge to see the job")
    started.operations.apply({**files("1"), "rollouts/weekly.yaml": ROLLOUT}, "test")
    started.operations.rollouts.start("weekly", "B", "test")
    return await rolling.until(lambda f: "is not done within" in str(f["waits"]), most_s=30)


async def test_at_the_deadline_the_job_in_the_way_begins_anew(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with master(tmp_path, fresh, monkeypatch) as started:
        job = fresh.run(*SUBMIT, "--requeue", "-w", "n1", LONG_THEN_SHORT)
        other = await asyncio.to_thread(fresh.submit, "n2", 30)
        await begin(started, fresh)
        await until(lambda: "Restarts=1" in shown(fresh, job), "the job to be requeued")
        await until(lambda: service(started, "n1") == {"converged"}, "n1 to move", 40)
        assert "kedge_B" in fresh.shown("n1")
        assert fresh.job(other) in ("RUNNING", "COMPLETED"), "only jobs of the late stage"
        # Slurm itself lets two minutes pass before a requeued job may begin
        fresh.run("scontrol", "update", f"jobid={job}", "starttime=now")
        await until(lambda: fresh.job(job) == "COMPLETED", "the job to run from its beginning", 40)


async def test_a_job_that_may_not_be_requeued_is_waited_for(
    fresh: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with master(tmp_path, fresh, monkeypatch) as started:
        job = fresh.run(*SUBMIT, "--no-requeue", "-w", "n1", LONG_THEN_SHORT)
        found = await begin(started, fresh)
        await asyncio.sleep(3.0)
        assert fresh.job(job) == "RUNNING" and found["state"] == "running"
        assert f"waiting for job {job}" in row(started, "n1")["why"]
        waits = started.operations.rollouts.show("weekly")["waits"]
        assert "could not be requeued" in waits[-1] and "isabled" in waits[-1], waits
        log = started.operations.events(limit=1000)
        assert [e["cause"] for e in log if e["what"] == "rollout" and e["after"] == "requeue"] == [
            waits[-1]
        ]


def shown(fresh: Slurm, job: str) -> str:
    return fresh.run("scontrol", "-o", "show", "job", job)
