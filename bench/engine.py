"""``scripts/bench engine``: what the state engine costs at 100,000 nodes, each number beside its target.

Every part runs in a process of its own, so that none pays for another's memory. Devices are not there:
they carry out every step in no time and report it node by node; the head, the journal and the
database are those of production, and the database is a file. No time is a reason to fail.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from scale import boots, changes, planning

FEW, MANY = 5_000, 100_000
STORM = 20_000

Row = dict[str, Any]

PARTS: dict[str, Callable[[int], Row]] = {
    "boot_few": lambda share: boots.measure(FEW // share),
    "boot_many": lambda share: boots.measure(MANY // share),
    "classes": lambda share: planning.classes(MANY // share),
    "storm": lambda share: planning.storm(STORM // share, services=10, failing=0.02),
    "plans": lambda share: planning.plans(),
    "comparing": lambda share: planning.comparing(MANY // share),
    "change": lambda share: changes.measure(MANY // share),
}


def targets(found: dict[str, Row]) -> list[Row]:
    """Each number that has a target, beside it; for ``share`` 1 only they mean what they say."""
    rows: list[Row] = []

    def row(part: str, name: str, value: float, most: float) -> None:
        rows.append({"part": part, "what": name, "found": value, "target": most})

    few, many = found.get("boot_few"), found.get("boot_many")
    if few:
        row("boot_few", "wall_s, at most", few["wall_s"], 1.0)
    if many:
        row("boot_many", "wall_s, at most", many["wall_s"], 10.0)
        row("boot_many", "bytes per node beyond base, at most",
            many["peak_bytes_per_node_beyond_base"], 1024)  # fmt: skip
    if few and many:
        for name, words in (
            ("cpu_us_per_transition", "CPU per transition, many to few, at most"),
            ("cpu_us_per_step_or_discovery", "the same, polls within the time counted too"),
        ):
            row("boot_many", words, round(many[name] / few[name], 2), 1.2)
    if "classes" in found:
        row("classes", "searches", found["classes"]["searches"], found["classes"]["classes"])
    if "storm" in found:
        row("storm", "searches per node, below", found["storm"]["searches_per_node"], 0.02)
    if "plans" in found:
        plans = found["plans"]
        row("plans", "naive to cached, at least", plans["naive_to_cached"], 100)
        row("plans", "cold, 10 services, ms, at most", plans["cold_10_services_ms"], 5)
        row("plans", "cold, 30 services, ms, at most", plans["cold_30_services_ms"], 10)
        row("plans", "cold, chain of 30, ms, at most", plans["cold_chain_of_30_ms"], 300)
    if "comparing" in found:
        row("comparing", "us when nothing differs, at most", found["comparing"]["0_differ_us"], 50)
    return rows


def run(part: str, share: int) -> Row:
    """One part, in a process of its own."""
    command = [sys.executable, __file__, "--share", str(share), "--here", part]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench engine", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part")
    parser.add_argument("--share", type=int, default=1, help="so many times fewer nodes")
    parser.add_argument("--here", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(PARTS[options.here](options.share)))
        return
    found: dict[str, Row] = {}
    for part in options.only or PARTS:
        print(f"{part} ...", file=sys.stderr, flush=True)
        found[part] = run(part, options.share)
        print(f"{part}: {json.dumps(found[part])}", file=sys.stderr, flush=True)
    machine = {
        "python": platform.python_version(), "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }  # fmt: skip
    report = {"machine": machine, "targets": targets(found), "parts": found}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
