"""The commands that explain and foresee, typed one after another against ``kedge sim serve``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KEDGE = Path(sys.executable).parent / "kedge"
SITE = """\
cluster: { name: c, domain: c.example }
networks:
  provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 }
profiles:
  compute:
    image.wanted: registry.example:5000/compute:1
    power.state: on
    power.bmc: { protocol: redfish, address: "10.78.1.{number}", credentials: bmc }
groups:
  rack1: { nodes: "n[1-4]", profiles: [compute], vars: { rack: 1 } }
  rack2: { nodes: "n[5-6]", profiles: [compute], vars: { rack: 2 } }
nodes:
  "n[1-6]": { addresses: { provision: "10.77.1.{number}" } }
budgets: { power.*: { rack: 2 }, out_of_service: { rack: 1, cluster: 50% } }
"""


class Head:
    """A simulated head in a folder, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "KEDGE_CONFIG": str(folder / "kedge.yaml")}
        self.run("init", ".")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sync = f"sync: {{port: {sock.getsockname()[1]}, address: 127.0.0.1}}"
        config = folder / "kedge.yaml"
        config.write_text(config.read_text().replace("\nsync:\n", f"\n{sync}\n", 1))
        self.write(SITE)
        self._served: subprocess.Popen[bytes] | None = None

    def write(self, text: str) -> None:
        (self.folder / "site" / "site.yaml").write_text(text)

    def start(self) -> None:
        log = (self.folder / "serve.log").open("ab")
        self._served = subprocess.Popen(
            [KEDGE, "sim", "serve", "--pace", "0.03"],
            cwd=self.folder, env=self.environment, stdout=log, stderr=log,
        )  # fmt: skip
        self.run("wait", "--for", "api", "--timeout", "30")

    def stop(self) -> None:
        if self._served is not None:
            self._served.send_signal(signal.SIGTERM)
            self._served.wait(20)
            self._served = None

    def run(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [KEDGE, *words], cwd=self.folder, env=self.environment, timeout=90,
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-o", "json"))

    def apply(self) -> None:
        self.run("apply", "--yes", "--wait", "--timeout", "60", "site")


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    served = Head(tmp_path)
    served.start()
    try:
        yield served
    finally:
        served.stop()


def test_a_change_is_foreseen_explained_and_done(head: Head) -> None:
    told = head.json("diff", "site")["prospect"]
    assert told["moving_count"] == 6 and told["disrupted"] == 0
    assert "assumed" in told["moving"][0] and told["moving"][0]["nodes"] == "n[1-6]"
    head.apply()

    head.write(SITE.replace("compute:1", "compute:2"))
    told = head.json("apply", "--dry-run", "site")["prospect"]
    (kind,) = told["moving"]
    assert kind["count"] == told["disrupted"] == 6 and kind["returns"]
    assert [s["mutation"] for s in kind["steps"] if s["disruptive"]] == ["power.shut_down"]
    assert {leg["budget"] for leg in told["critical"]} >= {"out_of_service"}
    assert head.run("apply", "--dry-run", "site") == head.run("diff", "site")

    head.run("apply", "--yes", "site")
    pools = {row["pool"]: row for row in head.json("budgets") if row["span"]}
    assert pools["rack 1"]["limit"] == 1 and pools["cluster"]["limit"] == 3
    deadline = time.monotonic() + 20
    while not any(row["waiting_count"] for row in head.json("budgets")):
        assert time.monotonic() < deadline
    assert "waiting for out_of_service of" in head.run("status")
    head.run("wait", "--timeout", "60")

    chain = head.json("why", "n1")["chain"]
    assert chain[0]["kind"] == "person" and "apply" in chain[0]["words"], head.run(
        "events", "n1"
    ) + head.run("why", "n1")
    assert any(link["words"] == "power.shut_down was done" for link in chain)
    assert chain[-1]["words"] == "converged"
    causes = {link["seq"]: link["because"] for link in chain}
    at = chain[-1]["seq"]
    while causes.get(at):
        at = causes[at]
    assert at == chain[0]["seq"], "from where it is back to who wanted it"


def test_holds_plans_drawings_and_costs(head: Head) -> None:
    head.apply()
    head.run("node", "hold", "--group", "rack1", "-r", "cooling")
    head.run("node", "hold", "n5", "-r", "fan")
    (held, fan) = head.json("power", "off", "n[1-5]", "--dry-run")["prospect"]["held"]
    assert (held["nodes"], held["why"], fan["nodes"]) == ("n[1-4]", "cooling", "n5")
    assert "kedge node release --group rack1" in head.run("status", "n1")
    head.run("power", "off", "n[1-2]", "--yes")
    (row,) = json.loads(head.run("plan", "n1", "-o", "json"))
    assert [step["mutation"] for step in row["steps"]] == ["power.shut_down"]
    assert head.run("plan", "n[1-2]").startswith("n[1-2]: 1 step")
    told = head.json("node", "release", "--group", "rack1", "--dry-run")
    assert told["prospect"]["moving"][0]["nodes"] == "n[1-2]"
    assert "cooling" in head.run("node", "show", "n1")

    drawn = ET.fromstring(head.run("graph", "--style", "svg", "--node", "n1"))
    words = ["".join(text.itertext()) for text in drawn.iter()]
    assert "where n1 is" in words and "1" in words
    assert head.run("graph", "--style", "mermaid").startswith("flowchart")

    costs = {row["mutation"]: row for row in head.json("graph", "--costs")}
    assert costs["boot.load"]["runs"] == 6 and 0 < costs["boot.load"]["learned_s"] < 20
    head.stop()
    head.start()
    again = {row["mutation"]: row for row in head.json("graph", "--costs")}
    assert again["boot.load"]["runs"] >= 6
    assert again["boot.load"]["learned_s"] == costs["boot.load"]["learned_s"]
    assert "cooling" in head.run("status", "n3") and "fan" in head.run("status", "n5")
    head.run("node", "release", "--group", "rack1")
    head.run("node", "release", "n5")


def test_a_misspelt_budget_is_refused_where_it_stands(head: Head) -> None:
    head.write(SITE.replace("power.*", "power.inrsh"))
    done = subprocess.run(
        [KEDGE, "diff", "site"], cwd=head.folder, env=head.environment, timeout=60,
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "site.yaml:14" in done.stderr and "Did you mean power.inrush?" in done.stderr
