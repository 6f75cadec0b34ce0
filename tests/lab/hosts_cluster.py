"""A cluster whose sub-masters run on machines that it boots itself, without disks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import Cluster

from kedge.lab.description import Bmc, Machine

HOSTS, NODES = ("s1", "s2"), ("n1", "n2")
SUBMASTERS = {"s1": "sm1", "s2": "sm2"}
LEASE_S = 30
MACHINES = (
    Machine(
        name="s1", memory_mb=1536, mac="52:54:00:77:00:21",
        bmc=Bmc(protocol="redfish", address="10.78.0.21"),
    ),
    Machine(
        name="s2", memory_mb=1536, mac="52:54:00:77:00:22",
        bmc=Bmc(protocol="ipmi", address="10.78.0.22"),
    ),
    Machine(name="n1", mac="52:54:00:77:00:01", bmc=Bmc(protocol="ipmi", address="10.78.0.11")),
    Machine(name="n2", mac="52:54:00:77:00:02", bmc=Bmc(protocol="redfish", address="10.78.0.12")),
)  # fmt: skip
SITE = """
cluster: { name: hosts, domain: hosts.example }
networks:
  provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 }
  bmc: { cidr: 10.78.0.0/16 }
profiles:
  any:
    power.state: on
    power.bmc: { protocol: redfish, credentials: bmc, tls: insecure }
  compute: { image.wanted: 10.77.0.1:5000/compute:1 }
  service: { image.wanted: 10.77.0.1:5000/submaster:1 }
groups:
  services: { nodes: "s[1-2]", profiles: [any, service] }
  a: { nodes: n1, profiles: [any, compute], parents: [sm1, sm2] }
  b: { nodes: n2, profiles: [any, compute], parents: [sm2, sm1] }
nodes:
  s[1-2]:
    addresses: { provision: "10.77.0.{number+20}" }
    power.bmc.address: "10.78.0.{number+20}"
  n[1-2]:
    addresses: { provision: "10.77.1.{number}" }
    power.bmc.address: "10.78.0.{number+10}"
  s1: { submaster.serves: sm1 }
  s2: { submaster.serves: sm2, power.bmc.protocol: ipmi }
  n1: { power.bmc.protocol: ipmi }
macs:
  s1: 52:54:00:77:00:21
  s2: 52:54:00:77:00:22
  n1: 52:54:00:77:00:01
  n2: 52:54:00:77:00:02
"""
ROLLOUT = """
groups: [services]
max_unavailable: 1
stages: [{ name: sub-masters, groups: [services], whole: true }]
"""

Rows = dict[str, dict[str, Any]]


class HostsCluster(Cluster):
    """A master, two machines for sub-masters, two below them; not applied yet."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, MACHINES, settings={"tree": {"lease_s": LEASE_S}})
        self._began = time.monotonic()

    def _configure(self) -> None:
        super()._configure()
        for file in self.site.iterdir():
            file.unlink()
        (self.site / "cluster.yaml").write_text(SITE)
        (self.site / "rollouts").mkdir()
        (self.site / "rollouts/update.yaml").write_text(ROLLOUT)
        self.push("submaster", "1")
        self.push("submaster", "2")

    def tell(self, text: str) -> None:
        """Write a line of the log, with the time since the beginning."""
        print(f"{time.monotonic() - self._began:6.0f} s  {text}", flush=True)

    def submasters(self) -> Rows:
        """``kedge submaster list``, by name."""
        return {row["name"]: row for row in self.ask("submaster", "list")}

    def owners(self) -> dict[str, str]:
        """The owner of each group."""
        return {g: name for name, row in self.submasters().items() for g in row["owns"]}

    def until_owners(self, a: str, b: str, timeout_s: float = 240.0) -> None:
        """Wait until the groups have these owners."""
        deadline = time.monotonic() + timeout_s
        while (owners := self.owners()) != {"a": a, "b": b}:
            assert time.monotonic() < deadline, f"{owners}\n{self.report(self.rows())}"
            time.sleep(2)

    def release(self, name: str, image: str) -> None:
        """A release in which the sub-masters' machines run this version of their image."""
        file = self.site / "cluster.yaml"
        before = file.read_text()
        self.edit("submaster:1", f"submaster:{image}")
        try:
            self.kedge("release", "create", name, "--site", str(self.site))
        finally:
            file.write_text(before)

    def roll(self, look: Callable[[Rows, Rows], None], timeout_s: float) -> dict[str, Any]:
        """Watch the rollout to its end; ``look`` at nodes and sub-masters all the while."""
        end, told = time.monotonic() + timeout_s, ""
        while True:
            found: dict[str, Any] = self.ask("rollout", "status", "update")
            rows, submasters = self.rows(), self.submasters()
            words = ", ".join(
                f"{n} {rows[n]['stage']} {rows[n]['phase']}" for n in (*HOSTS, *NODES)
            )
            words += "; " + ", ".join(f"{n} {row['state']}" for n, row in submasters.items())
            words += f"; {found['state']}, {found['done']} done"
            if words != told:
                told = words
                self.tell(words)
            look(rows, submasters)
            if found["state"] != "running":
                return found
            assert time.monotonic() < end, f"{found}\n{self.report(rows)}"
            time.sleep(1)

    def report(self, rows: Rows) -> str:
        """The state of all, for a failed test."""
        lines = [super().report(rows), json.dumps(self.submasters())]
        lines += [f"--- console of {n}\n{self.lab.console_text(n)[-2500:]}" for n in HOSTS]
        return "\n".join(lines)
