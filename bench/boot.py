"""``scripts/bench boot``: from power-on to the running image, beside the same boot without Kedge.

Both boot the same kernel, initramfs and image on the same machines of a lab, in turns, and end by the
same criterion: the head is told that the image's default target is reached. What differs is what
Kedge is: its DHCP and boot server, the engine, layer0 and the agent.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests/lab"), str(ROOT / "bench")]

from cluster import KEDGE, Cluster  # noqa: E402
from usage import Usage, cpu_s  # noqa: E402

from kedge.lab import processes  # noqa: E402
from kedge.lab.description import Bmc, Machine  # noqa: E402
from kedge.lab.paths import RUN_ROOT  # noqa: E402
from kedge.lib import cpio  # noqa: E402
from kedge.lib.nodeset import expand  # noqa: E402

TARGET_RATIO = 1.15
TIMEOUT_S = 420.0
HEAD_URL = "http://10.77.0.1:8080"
NAMES = ("n1", "n2", "n3", "n4")

Times = dict[str, dict[str, float]]
"""For each node: seconds from its power-on to each thing that was seen."""


class Bench:
    """A lab with both ways to boot its machines."""

    def __init__(self, home: Path) -> None:
        self.addresses = {name: f"10.77.1.{name[1:]}" for name in NAMES}
        machines = tuple(_machine(int(name[1:])) for name in NAMES)
        self.cluster = Cluster(home, machines, ROOT / "bench/site", serving=False)
        self.lab = self.cluster.lab
        self.used: list[dict[str, float]] = []

    def import_image(self) -> None:
        """Do once what is not part of a boot."""
        self.cluster.start()
        self.cluster.apply()
        self.cluster.kedge("image", "import", "10.77.0.1:5000/compute:1", timeout_s=300)
        self.cluster.stop()

    def boot_with_kedge(self, names: tuple[str, ...]) -> Times:
        """Configure the nodes on, and see in the events how far they are."""
        cluster = self.cluster
        cluster.start()
        try:
            cluster.apply()
            cluster.until("all are off", lambda rows: all(_is_off(rows[n]) for n in names), 60)
            usage = Usage(cluster.head_pid())
            asked_at = time.time()
            events = self._boot_and_follow(names)
            self.used.append(usage.since())
            powered = self._powered(names)
            times = self._machine_cpu(names)
            for name in names:
                times[name]["asked"] = asked_at - powered[name]
            for event in events:
                if event["what"] == "observed" and event["subject"] in (
                    "boot.stage",
                    "power.state",
                ):
                    seen = f"{event['subject']} {event['after']}"
                    for name in expand(event["nodes"]):
                        times[name].setdefault(seen, event["at"] - powered[name])
            for name in names:
                times[name]["running"] = times[name].pop("boot.stage running")
            cluster.kedge("node", "set", "--yes", ",".join(names), "power.state=off")
            return times
        finally:
            self._cut_power()
            cluster.stop()

    def _boot_and_follow(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        follow = [KEDGE, "--config", str(self.cluster.config), "events", "-f", "-o", "json"]
        after = str(self.cluster.last_event())
        events = self.cluster.home / "events"
        with events.open("w") as out:
            watching = subprocess.Popen([*follow, "--after", after], stdout=out)
        try:
            self.cluster.kedge("node", "set", "--yes", ",".join(names), "power.state=on")

            def all_run() -> bool:
                running = [e for e in _lines(events) if e["subject"] == "boot.stage"]
                seen = [e["nodes"] for e in running if e["after"] == "running"]
                return {name for nodes in seen for name in expand(nodes)} >= set(names)

            _wait(all_run, "with Kedge", self._report)
        finally:
            watching.terminate()
            watching.wait(10)
        return _lines(events)

    def boot_bare(self, names: tuple[str, ...]) -> Times:
        """Switch the machines on; a static server has all that they ask for."""
        folder = self._bare_folder()
        log = self.cluster.home / "requests"
        server = [sys.executable, str(ROOT / "bench/bare/server.py"), str(folder)]
        with log.open("w") as out:
            serving = self.lab.popen(server, stdout=out)
        try:
            self.lab.exec(
                ["curl", "-sf", "--retry", "30", "--retry-connrefused", "--retry-delay", "1",
                 "-o", "/dev/null", f"{HEAD_URL}/boot.ipxe"],
            )  # fmt: skip
            for name in names:
                self.lab.switch(name, "on")
            wanted = {self.addresses[name] for name in names}
            _wait(
                lambda: {r["from"] for r in _lines(log) if r["path"] == "/running"} >= wanted,
                "without Kedge",
                self._report,
            )
            powered = self._powered(names)
            times = self._machine_cpu(names)
            for name in names:
                for request in _lines(log):
                    if request["from"] == self.addresses[name]:
                        seen = request["path"].removeprefix("/")
                        seen = seen if len(seen) < 20 else seen[:18]
                        times[name].setdefault(seen, request["at"] - powered[name])
            return times
        finally:
            self._cut_power()
            serving.terminate()
            serving.wait(20)

    def _bare_folder(self) -> Path:
        """What the static server gives out: everything of the image that Kedge imported, and a script."""
        folder = self.cluster.home / "bare"
        if folder.exists():
            return folder
        folder.mkdir()
        state = self.cluster.state
        (image,) = (json.loads(p.read_text()) for p in (state / "images").glob("*.json"))
        layer0 = json.loads((state / "layer0/x86_64.json").read_text())
        layers = [layer["blob"] for layer in image["layers"]]
        for blob in (image["kernel"]["blob"], image["modules"]["blob"], *layers,
                     layer0["initramfs"]["blob"], layer0["squashfs"]["blob"]):  # fmt: skip
            digest = blob.removeprefix("sha256:")
            (folder / digest).symlink_to(state / "blobs/sha256" / digest)
        init = cpio.file("init", (ROOT / "bench/bare/init").read_bytes(), 0o755)
        (folder / "bare.cpio").write_bytes(gzip.compress(b"".join(cpio.archive([init])), mtime=0))
        initrds = {
            "layer0": f"blobs/{layer0['initramfs']['blob']}",
            "modules": f"blobs/{image['modules']['blob']}",
            "bare": "bare.cpio",
        }
        arguments = [
            *image["args"],
            f"bare.url={HEAD_URL}",
            f"bare.layers={','.join(layers)}",
            f"bare.layer0={layer0['squashfs']['blob']}",
        ]
        script = [
            "#!ipxe",
            f"kernel {HEAD_URL}/blobs/{image['kernel']['blob']} {' '.join(arguments)}",
        ]
        script += [f"initrd {HEAD_URL}/{path}" for path in initrds.values()]
        (folder / "boot.ipxe").write_text("\n".join([*script, "boot"]) + "\n")
        macs = {self.addresses[m.name]: m.mac for m in self.lab.description.machines}
        (folder / "macs.json").write_text(json.dumps(macs))
        return folder

    def _powered(self, names: tuple[str, ...]) -> dict[str, float]:
        """When each machine's QEMU was started, in seconds since the epoch."""
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        found = processes.find(self.lab.name)
        return {n: boot + found[f"machine-{n}"].start_ticks / processes.TICKS_PER_S for n in names}

    def _machine_cpu(self, names: tuple[str, ...]) -> Times:
        """What each boot cost its machine's processor: says more than the clock on a busy host."""
        found = processes.find(self.lab.name)
        return {name: {"machine_cpu": cpu_s(found[f"machine-{name}"].pid)} for name in names}

    def _cut_power(self) -> None:
        for name in NAMES:
            self.lab.switch(name, "off")

    def _report(self) -> str:
        return "\n".join(f"--- {n}\n{self.lab.console_text(n)[-2000:]}" for n in NAMES)


def _machine(number: int) -> Machine:
    bmc = Bmc(protocol="ipmi", address=f"10.78.0.1{number}")
    return Machine(name=f"n{number}", mac=f"52:54:00:77:00:0{number}", bmc=bmc)


def _is_off(row: dict[str, Any]) -> bool:
    return row["power"] == "off" and row["phase"] == "converged"


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text().split("\n")[:-1]  # the last one may be half written
    return [json.loads(line) for line in lines]


def _wait(until: Callable[[], bool], what: str, report: Callable[[], str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not until():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not running after {TIMEOUT_S:.0f} s\n{report()}")
        time.sleep(0.5)


def _compare(bench: Bench, names: tuple[str, ...], pairs: int) -> dict[str, Any]:
    """Boot in turns; the time of a run is that of its slowest node."""
    runs: dict[str, list[float]] = {"kedge": [], "bare": []}
    cpu: dict[str, list[float]] = {"kedge": [], "bare": []}
    details: list[dict[str, Any]] = []
    loads: list[float] = []
    for number in range(pairs):
        for way, boot in (("kedge", bench.boot_with_kedge), ("bare", bench.boot_bare)):
            loads.append(round(os.getloadavg()[0], 2))
            times = boot(names)
            took = max(seen["running"] for seen in times.values())
            runs[way].append(round(took, 2))
            cpu[way].append(round(statistics.mean(t["machine_cpu"] for t in times.values()), 2))
            details.append({"way": way, "times_s": _rounded(times)})
            print(f"{len(names)} nodes, pair {number + 1}, {way}: {took:.1f} s", file=sys.stderr)
    medians, cpu_medians = (
        {way: round(statistics.median(each), 2) for way, each in found.items()}
        for found in (runs, cpu)
    )
    return {
        "nodes": len(names),
        "power_on_to_running_s": runs,
        "median_s": medians,
        "ratio": round(medians["kedge"] / medians["bare"], 3),
        "target_ratio": TARGET_RATIO,
        "machine_cpu_s": cpu,
        "machine_cpu_ratio": round(cpu_medians["kedge"] / cpu_medians["bare"], 3),
        "load_before": loads,
        "runs": details,
    }


def _rounded(times: Times) -> dict[str, dict[str, float]]:
    return {name: {what: round(s, 2) for what, s in seen.items()} for name, seen in times.items()}


def main() -> None:
    """Set the lab up, boot, and print the report."""
    parser = argparse.ArgumentParser(prog="scripts/bench boot")
    parser.add_argument("--pairs", type=int, default=2, help="boots with and without Kedge")
    parser.add_argument("--four", action="store_true", help="also four nodes together, once")
    parser.add_argument("--keep", type=Path, help="keep logs and consoles in this folder")
    chosen = parser.parse_args()
    others = sorted(path.parent.name for path in RUN_ROOT.glob("*/description.json"))
    if others:
        sys.exit(f"Another lab is up, so that times would mean nothing: {', '.join(others)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the lab ends with us
    if chosen.keep:
        chosen.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kedge-bench-") as scratch:
        bench = Bench(Path(scratch) / "home")
        try:
            with bench.cluster:
                bench.import_image()
                print("the lab is up", file=sys.stderr)
                results = [_compare(bench, NAMES[:1], chosen.pairs)]
                if chosen.four:
                    results.append(_compare(bench, NAMES, 1))
                if chosen.keep:
                    for name in NAMES if chosen.four else NAMES[:1]:
                        shutil.copy(bench.lab.console_path(name), chosen.keep / f"{name}.console")
        finally:
            if chosen.keep:
                shutil.copy(bench.cluster.home / "serve.log", chosen.keep)
    report = {"boots": results, "kedge_serve": bench.used, "processors": os.cpu_count()}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
