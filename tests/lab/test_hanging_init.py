"""A release whose image boots and never comes up, on real machines: it stops at the canary and goes back."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_images import HANGING_UNIT, push_broken
from cluster import Cluster

from kedge.lab.description import Bmc, Machine

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("umoci"), reason="needs root and umoci"
    ),
]

NODES = ("n1", "n2")
MACHINES = tuple(
    Machine(
        name=f"n{number}",
        mac=f"52:54:00:77:00:0{number}",
        bmc=Bmc(protocol="ipmi", address=f"10.78.0.1{number}"),
    )
    for number in (1, 2)
)
SITE = """
cluster: { name: lab, domain: lab.example }
networks:
  provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 }
  bmc: { cidr: 10.78.0.0/16 }
profiles:
  compute:
    image.wanted: 10.77.0.1:5000/compute:1
    image.start_within_s: 45
    power.state: on
    power.bmc: { protocol: ipmi, credentials: bmc }
groups: { lab: { nodes: "n[1-2]", profiles: [compute] } }
nodes:
  "n[1-2]":
    addresses: { provision: "10.77.1.{number}" }
    power.bmc.address: "10.78.0.{number+10}"
macs: macs.csv
"""
MACS = "node,network,mac\nn1,provision,52:54:00:77:00:01\nn2,provision,52:54:00:77:00:02\n"
ROLLOUT = """
max_unavailable: 1
on_failure: rollback
stages: [{ name: canary, nodes: n1 }, { name: rest, rest: true }]
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Cluster]:
    site = tmp_path / "written"
    (site / "rollouts").mkdir(parents=True)
    (site / "cluster.yaml").write_text(SITE)
    (site / "macs.csv").write_text(MACS)
    (site / "rollouts/weekly.yaml").write_text(ROLLOUT)
    with Cluster(tmp_path / "cluster", MACHINES, site, images={"x86_64": "compute"}) as made:
        yield made


def rolled(cluster: Cluster, state: str, most_s: float) -> dict[str, Any]:
    """The rollout's status once it is in this state."""
    end = time.monotonic() + most_s
    while (found := cluster.ask("rollout", "status", "weekly"))["state"] != state:
        assert time.monotonic() < end, f"{found}\n{cluster.report(cluster.rows())}"
        time.sleep(2)
    return found


def test_an_init_that_never_comes_up_stops_the_rollout_and_it_goes_back(lab: Cluster) -> None:
    lab.apply()
    site = str(lab.site)
    lab.kedge("release", "create", "A", "--site", site)
    lab.kedge("node", "set", "n[1-2]", "release.wanted=A", "--yes")
    lab.until_running(NODES)
    boots = lab.boot_ids(NODES)
    push_broken(lab, "compute", "hangs", HANGING_UNIT)
    text = (lab.site / "cluster.yaml").read_text()
    lab.edit("compute:1", "compute:hangs")
    lab.kedge("release", "create", "B", "--site", site)
    (lab.site / "cluster.yaml").write_text(text)

    begun = time.monotonic()
    lab.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
    why = rolled(lab, "rolling_back", 900)["why"]
    print(f"given up after {time.monotonic() - begun:.0f} s: {why}")
    assert "failed on release B: n1" in why
    assert (
        "the system was not up within 45 s (the init is starting, and waits for hangs.service)"
        in why
    )
    found = rolled(lab, "rolled_back", 300)
    print(f"rolled back after {time.monotonic() - begun:.0f} s")
    assert found["done"] == 0
    lab.until_running(NODES)
    after = lab.boot_ids(NODES)
    assert after["n1"] != boots["n1"] and after["n2"] == boots["n2"], "nobody else was touched"
