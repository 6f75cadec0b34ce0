"""A real Slurm whose nodes are virtual machines that Kedge boots: a new image moves through them, jobs live.

slurmctld and munge run in the lab's network, slurmd in the machines. Both are of this machine's Debian.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import ROOT, Cluster
from slurm_nodes import MACHINES, NODES, Job, in_service, until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("slurmctld", path="/usr/sbin"),
        reason="needs root and Debian's Slurm",
    ),
]

KEY = "a key of this test alone, which nobody else uses for anything"


class Batch:
    """slurmctld and munge in the lab's network."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.conf = folder / "slurm.conf"
        self.processes: list[subprocess.Popen[Any]] = []

    def start(self) -> None:
        """Start both, with the same key and nearly the same slurm.conf as the nodes have."""
        folder = self.folder
        (folder / "state").mkdir(parents=True)
        folder.chmod(0o711)
        (self.cluster.site / "munge.key").write_text(KEY)
        key = folder / "munge.key"
        key.write_text(KEY)
        key.chmod(0o400)
        text = (self.cluster.site / "slurm.conf").read_text()
        text = text.replace("/var/spool/slurmctld", str(folder / "state"))
        self.conf.write_text(
            text + f"AuthInfo=socket={folder}/munge.socket\n"
            f"SlurmctldPidFile={folder}/slurmctld.pid\nSlurmctldLogFile={folder}/slurmctld.log\n"
            "MinJobAge=3600\n"  # how jobs ended is asked at the end of all
        )
        self._start(
            "munged", "--foreground", "--force", f"--socket={folder}/munge.socket",
            f"--key-file={key}", f"--pid-file={folder}/munge.pid",
            f"--seed-file={folder}/munge.seed", f"--log-file={folder}/munge.log",
        )  # fmt: skip
        while not (folder / "munge.socket").exists():
            time.sleep(0.1)
        self._start("slurmctld", "-D")
        time.sleep(2)
        assert self.processes[-1].poll() is None, (folder / "slurmctld.log").read_text()[-1000:]

    def _start(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}.out").open("a")
        with log:
            self.processes.append(
                self.cluster.lab.popen(
                    [f"/usr/sbin/{command[0]}", *command[1:]],
                    env={**os.environ, "SLURM_CONF": str(self.conf)}, stdout=log, stderr=log,
                )
            )  # fmt: skip

    def run(self, *command: str) -> str:
        """A command of Slurm's, in the lab's network."""
        done = self.cluster.lab.exec(
            list(command), env={**os.environ, "SLURM_CONF": str(self.conf)}, check=False
        )
        return (done.stdout + done.stderr).strip()

    def job(self, number: str) -> str:
        """A job's state."""
        shown = self.run("scontrol", "-o", "show", "job", number)
        return shown.partition("JobState=")[2].partition(" ")[0]

    def close(self) -> None:
        """End both."""
        for process in self.processes[::-1]:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Cluster, Batch]]:
    folder = Path(f"/tmp/kedge-slurm-lab-{os.getpid()}")
    settings = {
        "modules": {
            "scheduler": {"driver": "slurm", "conf": str(folder / "slurm.conf"), "every_s": 2}
        }
    }
    made = Cluster(
        tmp_path / "cluster", MACHINES, ROOT / "examples/02-slurm",
        images={"x86_64": "slurm-node"}, settings=settings,
    )  # fmt: skip
    with made as cluster:
        batch = Batch(folder, cluster)
        try:
            batch.start()
            yield cluster, batch
        finally:
            batch.close()
            shutil.rmtree(folder, ignore_errors=True)


def test_a_new_image_moves_through_a_busy_cluster(lab: tuple[Cluster, Batch]) -> None:
    cluster, batch = lab
    cluster.apply()
    begun = time.monotonic()
    cluster.until("all are in service", lambda rows: in_service(rows, *NODES), 900)
    print(f"in service after {time.monotonic() - begun:.0f} s\n{batch.run('sinfo', '-N')}")
    boots = cluster.boot_ids(NODES)

    # a job that lasts longer than the others take to move, and a drain that a person made
    long = Job(batch, "n1", 30)
    submit = ("sbatch", "--parsable", "-D", "/", "-o", "/dev/null", "-t", "30")
    shorts = [batch.run(*submit, "-w", n, "--wrap=sleep 40") for n in ("n2", "n3")]
    running = "all of them to run: slurmctld lets seconds pass before it begins one"
    until(lambda: {batch.job(job) for job in shorts} == {"RUNNING"}, running, 60)
    batch.run("scontrol", "update", "nodename=n4", "state=drain", "reason=broken fan")

    cluster.push("slurm-node", "2")
    cluster.edit("slurm-node:1", "slurm-node:2")
    cluster.apply()
    begun = time.monotonic()
    cluster.until("n2 is on its way", lambda rows: rows["n2"]["stage"] != "running", 300)
    cluster.stop(signal.SIGKILL)  # in the middle
    cluster.start()
    rows = cluster.until("n2, n3 are back", lambda rows: in_service(rows, "n2", "n3"), 900)
    print(f"n2, n3 moved after {time.monotonic() - begun:.0f} s")
    assert rows["n1"]["stage"] == "running"
    assert f"waiting for job {long.number}" in rows["n1"]["why"], rows["n1"]["why"]
    assert cluster.boot_ids(["n1"])["n1"] == boots["n1"]
    assert [batch.job(job) for job in shorts] == ["COMPLETED"] * 2
    long.end()
    cluster.until("n1 is back", lambda rows: in_service(rows, "n1"), 900)
    print(f"n1 moved after {time.monotonic() - begun:.0f} s")
    assert [batch.job(job) for job in shorts] == ["COMPLETED"] * 2, "no job was harmed"

    cluster.until("n4 is up to date", lambda rows: rows["n4"]["stage"] == "running", 300)
    shown = batch.run("scontrol", "-o", "show", "node", "n4")
    assert "DRAIN" in shown and "Reason=broken fan" in shown
    after = cluster.boot_ids(NODES)
    assert all(after[name] != boots[name] for name in NODES)
    assert len({cluster.node(name)["image"] for name in ("n1", "n2", "n3")}) == 1
