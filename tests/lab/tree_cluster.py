"""A cluster with a tree: a master, two sub-masters in network namespaces of their own, machines below."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml
from cluster import KEDGE, MACHINES, Cluster

SITE = """
cluster: { name: tree, domain: tree.example }
networks:
  provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 }
  bmc: { cidr: 10.78.0.0/16 }
profiles:
  compute:
    image.wanted: 10.77.0.1:5000/compute:1
    power.state: on
    power.bmc: { protocol: redfish, credentials: bmc, tls: insecure }
groups:
  a: { nodes: n1, profiles: [compute], parents: [sm1, sm2] }
  b: { nodes: n2, profiles: [compute], parents: [sm2, sm1] }
nodes:
  n[1-2]:
    addresses: { provision: "10.77.1.{number}" }
    power.bmc.address: "10.78.0.{number+10}"
  n1: { power.bmc.protocol: ipmi }
macs: { n1: 52:54:00:77:00:01, n2: 52:54:00:77:00:02 }
"""
LEASE_S = 30
MASTER = "10.77.0.1:8471"


class SubMaster:
    """``kedge serve`` of a sub-master, on a machine of its own as far as the network goes."""

    def __init__(self, cluster: TreeCluster, name: str, number: int) -> None:
        self.cluster, self.name, self.number = cluster, name, number
        self.home = cluster.home / name
        self.config = self.home / "kedge.yaml"
        self.namespace = f"{cluster.lab.namespace}-{name}"
        self._serve: subprocess.Popen[Any] | None = None

    def build(self) -> None:
        """Its network: a leg in each of the lab's two."""
        lab = self.cluster.lab.namespace
        ip("netns", "add", self.namespace)
        inside = ("-n", self.namespace)
        ip(*inside, "link", "set", "lo", "up")
        for bridge, leg, address in (
            ("prov", "prov0", f"10.77.0.{self.number}/16"),
            ("bmc", "bmc0", f"10.78.0.{self.number}/16"),
        ):
            port = f"{bridge}-{self.name}"
            ip("link", "add", port, "netns", lab, "type", "veth", "peer", "name", leg, "netns",
               self.namespace)  # fmt: skip
            ip("-n", lab, "link", "set", port, "master", bridge, "up")
            ip(*inside, "addr", "add", address, "dev", leg)
            ip(*inside, "link", "set", leg, "up")

    def configure(self) -> None:
        """What an administrator types, on the master and here."""
        join = self.cluster.home / f"{self.name}.join"
        self.cluster.kedge("submaster", "add", self.name, "--file", str(join))
        assert join.stat().st_mode & 0o077 == 0
        self.cluster.kedge(
            "init", str(self.home), "--role", "sub-master", "--join", str(join),
            "--interface", "prov0", "--address", f"10.77.0.{self.number}/16",
        )  # fmt: skip
        written = yaml.safe_load(self.config.read_text())
        written["tree"]["masters"] = [MASTER]
        written["sync"] = {"heartbeat_s": 4}
        self.config.write_text(yaml.safe_dump(written))

    def start(self) -> None:
        """Start it."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "serve.log").open("a") as log:
            self._serve = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, KEDGE, "--config", str(self.config), "serve"],
                stdout=log, stderr=log, env={**os.environ, **self.cluster.lab.exec_mark()},
            )  # fmt: skip

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, in order or (SIGKILL) at once, with the servers that it started."""
        if self._serve is not None:
            self._serve.send_signal(number)
            self._serve.wait(30)
            self._serve = None

    def about(self) -> dict[str, str]:
        """What of it is degraded, as it says itself."""
        done = subprocess.run(
            [KEDGE, "--config", str(self.config), "status"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return {"status": done.stdout + done.stderr}

    def cut_uplink(self) -> None:
        """Nothing passes between it and the master; machines and BMCs are reached as before."""
        self.cut(MASTER.partition(":")[0])

    def cut(self, host: str) -> None:
        """Nothing passes between it and one address."""
        rules = f"""table inet cut {{
 chain in {{ type filter hook input priority 0; ip saddr {host} drop; }}
 chain out {{ type filter hook output priority 0; ip daddr {host} drop; }}
}}"""
        ip("netns", "exec", self.namespace, "nft", rules)

    def mend(self) -> None:
        """The cut is over."""
        ip("netns", "exec", self.namespace, "nft", "delete table inet cut")

    def remove(self) -> None:
        """Take its network away."""
        self.stop(signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)


class TreeCluster(Cluster):
    """A master, sm1 and sm2, and two machines; not applied yet."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, machines=MACHINES[:2])
        self.sm1, self.sm2 = SubMaster(self, "sm1", 2), SubMaster(self, "sm2", 3)

    def __enter__(self) -> TreeCluster:
        super().__enter__()
        try:
            for sub in (self.sm1, self.sm2):
                sub.build()
                sub.configure()
                sub.start()
            deadline = time.monotonic() + 60
            while any(row["state"] != "there" for row in self.submasters().values()):
                assert time.monotonic() < deadline, self.report({})
                time.sleep(1)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End everything."""
        for sub in (self.sm1, self.sm2):
            sub.remove()
        super().close()

    def _configure(self) -> None:
        super()._configure()
        written = yaml.safe_load(self.config.read_text())
        self.config.write_text(yaml.safe_dump({**written, "tree": {"lease_s": LEASE_S}}))
        for file in self.site.iterdir():
            file.unlink()
        (self.site / "cluster.yaml").write_text(SITE)

    def files(self, node: str) -> str:
        """The digest of the host files that a node has."""
        return str(self.node(node)["facts"]["files.running"])

    def until_event(self, node: str, after: int, subject: str, timeout_s: float = 90.0) -> None:
        """Wait until something is in the log."""
        deadline = time.monotonic() + timeout_s
        while not [e for e in self.events(node, after=after) if e["subject"] == subject]:
            assert time.monotonic() < deadline, self.report(self.rows())
            time.sleep(1)

    def submasters(self) -> dict[str, dict[str, Any]]:
        """``kedge submaster list``, by name."""
        return {row["name"]: row for row in self.ask("submaster", "list")}

    def until_owners(self, a: str, b: str, timeout_s: float = 150.0) -> None:
        """Wait until the groups have these owners."""
        deadline = time.monotonic() + timeout_s
        while True:
            owned = {g: name for name, row in self.submasters().items() for g in row["owns"]}
            if (owned.get("a"), owned.get("b")) == (a, b):
                return
            assert time.monotonic() < deadline, f"{owned}\n{self.report(self.rows())}"
            time.sleep(2)

    def report(self, rows: dict[str, dict[str, Any]]) -> str:
        """The state of all, for a failed test."""
        lines = [super().report(rows), json.dumps(self.submasters())]
        for sub in (self.sm1, self.sm2):
            log = sub.home / "serve.log"
            lines += [f"--- {sub.name}", log.read_text()[-3000:] if log.exists() else ""]
        return "\n".join(lines)


def ip(*words: str) -> None:
    """Run ``ip``."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
