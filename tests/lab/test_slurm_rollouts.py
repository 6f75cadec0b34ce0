"""Releases roll through real machines under a real Slurm: jobs run on, broken releases go back by themselves.

slurmctld, slurmdbd with its database and slurmrestd run beside the head, from one Debian release and in a
root of their own; slurmd of the same release runs in four machines that Kedge boots. Kedge speaks with
slurmrestd. Each test goes on from where the one before left the nodes, and can be run by itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_images import DEAD_INIT, push_broken
from cluster import KEDGE, ROOT, Cluster
from rolling import BROKEN, Rolling, describe
from slurm_controller import Controller, settings
from slurm_nodes import MACHINES, NODES, Job, in_service, until
from slurm_root import SUITE

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("mmdebstrap"), reason="needs root and mmdebstrap"
    ),
]


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEDGE_SLURM_SUITE", SUITE)
        yield from made(tmp_path_factory.mktemp("slurm"))


def made(home: Path) -> Iterator[Rolling]:
    """The lab with all nodes on release A, jobs welcome."""
    folder = Path(f"/tmp/kedge-slurm-rollouts-{os.getpid()}")
    cluster = Cluster(
        home / "cluster", MACHINES, ROOT / "examples/02-slurm", serving=False,
        images={"x86_64": "slurm-node"}, settings=settings(folder),
    )  # fmt: skip
    slurm = Controller(folder, cluster)
    with cluster:
        try:
            slurm.start(KEDGE)
            describe(cluster, slurm)
            secret = f"username: root\ntoken_file: {folder}/token\n"
            cluster.kedge("secret", "set", "slurm", "--stdin", stdin=secret)
            cluster.start()
            rolling = Rolling(cluster, slurm)
            try:
                rolling.prepare()
                yield rolling
            finally:
                rolling.watch.close()
        finally:
            slurm.close()


def test_a_release_moves_through_a_busy_cluster(rolling: Rolling) -> None:
    cluster, slurm = rolling.cluster, rolling.slurm
    boots = cluster.boot_ids(NODES)
    long, short = Job(slurm, "n1", 60), Job(slurm, "n2", 30)
    slurm.run("scontrol", "update", "nodename=n4", "state=drain", "reason=broken fan")
    until(lambda: "DRAIN" in slurm.shown("n4"), "n4 to be drained", 20)
    time.sleep(5)  # the scheduler is read every two seconds
    cluster.push("slurm-node", "2")
    rolling.release("B", "2")
    rolling.begin("B")

    rolling.until("the canary is on its way", lambda f: f["stages"][0]["on_release"] == 1)
    cluster.until("n3 is off", lambda rows: rows["n3"]["stage"] != "running", 300)
    cluster.stop(signal.SIGKILL)
    cluster.start()
    rolling.tell("Kedge was killed and started again")
    found = rolling.until("the canary is tested", lambda f: f["stages"][0]["state"] == "done")
    assert found["stages"][0]["gates"][0]["state"] == "passed"
    assert long.state == short.state == "RUNNING"
    until(lambda: "DRAIN" in slurm.shown("n2"), "n2 to wait for its job", 120)
    time.sleep(10)
    assert short.state == "RUNNING" and cluster.boot_ids(["n2"])["n2"] == boots["n2"]
    assert f"waiting for job {short.number}" in cluster.rows()["n2"]["why"]
    short.end()
    rolling.until("n2 is done", lambda f: f["done"] == 2)
    assert long.state == "RUNNING" and cluster.boot_ids(["n1"])["n1"] == boots["n1"]

    shown = slurm.shown("n4")  # all the while it stayed as the person wanted
    assert "DRAIN" in shown and "Reason=broken fan" in shown and "kedge_A" in shown
    assert cluster.boot_ids(["n4"])["n4"] == boots["n4"]
    slurm.run("scontrol", "update", "nodename=n4", "state=resume")
    rolling.tell("the person gives n4 back")
    long.end()
    rolling.until("B is everywhere", lambda f: f["state"] == "done")

    assert rolling.watch.most_out <= 2
    assert cluster.until("all serve", lambda rows: in_service(rows, *NODES), 60)
    for name in NODES:
        shown = slurm.shown(name)
        assert "kedge_B" in shown and "DRAIN" not in shown, shown
    after = cluster.boot_ids(NODES)
    assert all(after[name] != boots[name] for name in NODES)
    ended = slurm.accounted(long.number, short.number)
    assert ended == {long.number: "COMPLETED", short.number: "COMPLETED"}, "no job was harmed"
    rolling.present = "B"
    rolling.tell(f"{rolling.summary()}; accounted: {ended}")
    asked = (slurm.folder / "slurmrestd.out").read_text()
    assert "GET /slurm/v0.0." in asked and "POST /slurm/v0.0." in asked, (
        "Kedge speaks with slurmrestd"
    )


def test_a_release_that_fails_its_gate_stops_at_the_canary(rolling: Rolling) -> None:
    rolling.cluster.push("slurm-node", BROKEN)
    rolling.release("C", BROKEN)
    why = goes_back(rolling, "C", 900, killed=True)
    assert "gate job of stage canary failed" in why


def test_a_release_that_does_not_boot_stops_at_the_canary(rolling: Rolling) -> None:
    push_broken(rolling.cluster, "slurm-node", "4", DEAD_INIT)
    rolling.release("D", "4")
    why = goes_back(rolling, "D", 1500)
    assert "failed on release D" in why


def goes_back(rolling: Rolling, release: str, most_s: float, *, killed: bool = False) -> str:
    """Roll a broken release; why it went back. Only the canary is touched, and it serves again. On the way
    back Kedge may be ``killed``."""
    cluster, slurm = rolling.cluster, rolling.slurm
    boots = cluster.boot_ids(NODES)
    jobs = [Job(slurm, node, 60) for node in ("n1", "n2")]
    time.sleep(5)
    rolling.begin(release)
    why = rolling.until(f"{release} is given up", lambda f: f["state"] != "running", most_s)["why"]
    if killed:
        cluster.stop(signal.SIGKILL)
        cluster.start()
        rolling.tell("Kedge was killed and started again")
    rolling.until(f"{release} went back", lambda f: f["state"] == "rolled_back", 600)
    assert [job.state for job in jobs] == ["RUNNING"] * 2
    cluster.until("all serve", lambda rows: in_service(rows, *NODES), 60)
    after = cluster.boot_ids(NODES)
    moved = [name for name in NODES if after[name] != boots[name]]
    assert len(moved) == 1 and moved[0] in ("n3", "n4"), "only the canary was touched"
    assert rolling.watch.most_out == 1
    assert all(f"kedge_{rolling.present}" in slurm.shown(name) for name in NODES)
    for job in jobs:
        job.end()
    ended = slurm.accounted(*(job.number for job in jobs))
    assert set(ended.values()) == {"COMPLETED"}
    rolling.tell(f"{why}\n         {rolling.summary()}; accounted: {ended}")
    return why


def test_scontrol_reboot_goes_through_kedge_and_the_node_returns(rolling: Rolling) -> None:
    cluster, slurm = rolling.cluster, rolling.slurm
    boots = cluster.boot_ids(NODES)
    last = cluster.last_event()
    job = Job(slurm, "n2", 30)
    slurm.run("scontrol", "reboot", "ASAP", "nextstate=RESUME", "reason=new firmware", "n2")
    rolling.tell("scontrol reboot is asked for n2, on which a job runs")
    time.sleep(10)
    assert cluster.boot_ids(["n2"])["n2"] == boots["n2"] and job.state == "RUNNING"
    job.end()
    asked = slurm.folder / "reboots"
    until(asked.exists, "slurmctld to call its RebootProgram", 60)

    def was_off() -> bool:  # it may be on again within the same second
        seen = [e for e in cluster.events("n2", after=last) if e["subject"] == "power.state"]
        return any(event["after"] == "off" for event in seen)

    until(was_off, "Kedge to switch n2 off", 180)
    rolling.tell("Kedge has switched n2 off")
    cluster.until("n2 is back", lambda rows: in_service(rows, "n2"), 600)
    rolling.tell(f"n2 is in service again; the program was called so: {asked.read_text()}")
    after = cluster.boot_ids(NODES)
    assert [name for name in NODES if after[name] != boots[name]] == ["n2"]
    until(
        lambda: "State=IDLE " in slurm.shown("n2") or "State=IDLE+DYN" in slurm.shown("n2"),
        "idle",
        30,
    )
    drains = [e for e in cluster.events("n2", after=last) if "scheduler.drain" in str(e["subject"])]
    assert not drains, "the drain was Slurm's own"
    assert slurm.accounted(job.number) == {job.number: "COMPLETED"}
