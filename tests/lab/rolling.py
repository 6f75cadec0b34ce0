"""Releases and rollouts on the lab with a real Slurm, as an administrator makes and watches them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from cluster import Cluster
from slurm_controller import Controller
from slurm_nodes import NODES, Watch, in_service

MOST_OUT = 2
BROKEN = "3"
"""The version of the image that boots and works, but for the gate."""

ROLLOUT = """
summary: one canary, then the others
max_unavailable: %d
on_failure: rollback
gates:
  job:        # runs on the updated nodes, and looks at what they run
    command: |
      %s sbatch --wait -D / -o /dev/null -w {nodes} -N {count} -C kedge_{release} \
        --wrap='test "$(cat /usr/lib/kedge-example/version)" != %s'
    deadline: 5min
stages:
  - { name: canary, count: 1, gates: [job] }
  - { name: rest, rest: true }
"""
CGROUP = '      /etc/slurm/cgroup.conf: { template: cgroup.conf, mode: "0644" }\n'
CONF = "      /etc/slurm/slurm.conf:"
_NUMBER = re.compile(r"[0-9]+")


class Rolling:
    """The cluster, its Slurm, and what is watched all the while."""

    def __init__(self, cluster: Cluster, slurm: Controller) -> None:
        self.cluster, self.slurm = cluster, slurm
        self.watch = Watch(slurm)
        self.tell = self.watch.tell
        self.present = "A"
        """The release that all nodes have."""

    def prepare(self) -> None:
        """All nodes on release A and in service."""
        cluster = self.cluster
        cluster.apply()
        self.release("A", "1")
        cluster.kedge("node", "set", ",".join(NODES), "release.wanted=A", "--yes")
        cluster.until("all are in service", lambda rows: in_service(rows, *NODES), 900)
        self.tell("all run release A and are in service")

    def release(self, name: str, image: str) -> None:
        """A release with this version of the image; the applied site stays as it is."""
        file = self.cluster.site / "cluster.yaml"
        before = file.read_text()
        self.cluster.edit("slurm-node:1", f"slurm-node:{image}")
        try:
            self.cluster.kedge("release", "create", name, "--site", str(self.cluster.site))
        finally:
            file.write_text(before)

    def begin(self, release: str) -> None:
        """Start the rollout."""
        self.watch.again()
        self.cluster.kedge("rollout", "start", "weekly", "--release", release, "--yes")
        self.tell(f"the rollout of {release} begins")

    def until(
        self, what: str, holds: Callable[[dict[str, Any]], object], timeout_s: float = 600
    ) -> dict[str, Any]:
        """Wait until the rollout's status is such; never are more nodes out than allowed."""
        end = time.monotonic() + timeout_s
        told = ""
        while True:
            found: dict[str, Any] = self.cluster.ask("rollout", "status", "weekly")
            words = f"{found['state']} {found['stage']}: waits {'; '.join(found['waits'])}"
            if _NUMBER.sub("", words) != told:
                told = _NUMBER.sub("", words)
                self.tell(f"  {words}")
            assert self.watch.most_out <= MOST_OUT, (self.watch.most_out, found)
            if holds(found):
                self.tell(f"{what}: {found['done']} of {found['nodes']} done. {found['why']}")
                return found
            assert time.monotonic() < end, f"not in {timeout_s:.0f} s: {what}: {self.report(found)}"
            time.sleep(2)

    def report(self, found: Any) -> str:
        """All that is known, for a failed test."""
        return f"{found}\n{self.cluster.report(self.cluster.rows())}\n{self.slurm.said()}"

    def summary(self) -> str:
        """What was seen since the rollout began."""
        times = {count: round(seconds) for count, seconds in sorted(self.watch.capacity_s.items())}
        return (
            f"at most {self.watch.most_out} nodes out in {self.watch.looks} looks; "
            f"seconds with so many in service: {times}"
        )


def describe(cluster: Cluster, slurm: Controller) -> None:
    """The site as this lab wants it: Slurm's control groups off, and a rollout of its own."""
    (cluster.site / "munge.key").write_text((slurm.folder / "munge.key").read_text())
    (cluster.site / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    cluster.edit(CONF, CGROUP + CONF)
    (cluster.site / "rollouts/weekly.yaml").write_text(ROLLOUT % (MOST_OUT, slurm.inside, BROKEN))
