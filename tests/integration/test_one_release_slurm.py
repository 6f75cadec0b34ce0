"""A job never spans two releases when the site says so: Slurm's own job_submit.lua, as the howto gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_slurm import NETWORK, pytestmark

from kedge.modules.scheduler.orders import carry_out
from kedge.modules.scheduler.slurm_command import Commands
from private_network import private_network
from slurm_cluster import Slurm, slurm, until

__all__ = ("pytestmark",)

HOWTO = Path(__file__).parents[2] / "docs/howto/roll-a-release.md"


@pytest.fixture
def batch() -> Iterator[Slurm]:
    found = re.search(r"```\n(JobSubmit.*?)```\n\n```lua\n(.*?)```", HOWTO.read_text(), re.DOTALL)
    assert found is not None
    conf, rule = found.groups()
    with private_network(NETWORK), slurm(more=conf, files={"job_submit.lua": rule}) as made:
        yield made


def submit(batch: Slurm, nodes: int, *options: str) -> str:
    words = ("sbatch", "--parsable", "-o", "/dev/null", "-D", "/", "-N", str(nodes))
    return batch.run(*words, *options, "--wrap=sleep 300")


def nodes_of(batch: Slurm, job: str) -> str:
    return batch.run("squeue", "-h", "-j", job, "-o", "%N")


def test_a_job_takes_all_its_nodes_from_one_release(batch: Slurm) -> None:
    driver = Commands(str(batch.conf), batch.prefix)
    first, second = batch.names[:3], batch.names[3:]
    assert carry_out(driver, ("carry", "A"), batch.names) == {}
    assert carry_out(driver, ("carry", "B"), second) == {}
    wide = submit(batch, 4)  # there are four free nodes, and never four of one release
    narrow = submit(batch, 3)
    until(lambda: batch.job(narrow) == "RUNNING", "three nodes of one release")
    assert nodes_of(batch, narrow) in ("n[1-3]", "n[4-6]")
    other = submit(batch, 2, "-C", "big")  # who names features is left alone, and may span
    until(lambda: batch.job(other) == "RUNNING", "two nodes")
    batch.run("scancel", other)
    single = submit(batch, 1)
    until(lambda: batch.job(single) == "RUNNING", "one node")
    batch.run("scancel", single, narrow)
    until(lambda: not batch.run("squeue", "-h", "-t", "R,CG"), "free nodes")
    assert batch.job(wide) == "PENDING", "six nodes are free, three of each release"

    # B is everywhere, then C comes: what waits from before needs no new rule
    assert carry_out(driver, ("carry", "B"), first) == {}
    assert carry_out(driver, ("carry", "C"), ["n1", "n2"]) == {}
    until(lambda: batch.job(wide) == "RUNNING", "four nodes of one release", 40)
    assert nodes_of(batch, wide) == "n[3-6]"
    nodes = driver.read().nodes
    sides = {nodes[name].release: nodes[name].side for name in batch.names}
    assert sides == {"C": 1, "B": 2}, "A is gone, so C has its side"
