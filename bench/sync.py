"""``scripts/bench sync``: what the state sync costs, and how far it goes.

Every part can be run alone. Ratios are taken within one run, on processor time, so that a busy machine
changes them little; what is in seconds of the wall wants a machine of its own. All is on loopback, or in
virtual time; nothing is left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sync_agent
import sync_receive
import sync_scale
import sync_virtual

Say = Callable[[str], None]
KEDGE = Path(sys.executable).with_name("kedge")
SIM_NODES, SIM_HOURS, SIM_SEED = 50, 2, 7


def simulator(say: Say) -> dict[str, Any]:
    """How much of a cluster's life ``kedge sim run`` plays in a second of this machine."""
    say(f"{SIM_NODES} nodes for {SIM_HOURS} hours in the simulator")
    command = [KEDGE, "sim", "run", "--nodes", str(SIM_NODES), "--hours", str(SIM_HOURS)]
    began, before = time.monotonic(), os.times()
    done = subprocess.run(
        [*command, "--seed", str(SIM_SEED), "-o", "json"],
        stdout=subprocess.PIPE, timeout=1200, check=False,
    )  # fmt: skip
    after = os.times()
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return {
        "nodes": SIM_NODES,
        "hours": SIM_HOURS,
        "exit_status": done.returncode,
        "wall_s": round(time.monotonic() - began, 1),
        "cpu_s": round(cpu_s, 1),
        "node_hours_a_cpu_second": round(SIM_NODES * SIM_HOURS / cpu_s, 2),
    }


def propagation(say: Say) -> dict[str, Any]:
    """A whole tree of 100,000 agents, and a smaller one that loses one datagram in a hundred."""
    return {
        "no_loss": sync_virtual.measure(say),
        "one_per_cent_loss": sync_virtual.measure(say, agents=20_000, loss=0.01),
    }


PARTS: dict[str, Callable[[Say], dict[str, Any]]] = {
    "receive": sync_receive.measure,
    "burst": sync_scale.burst,
    "heartbeats": sync_scale.heartbeats,
    "sub_masters": sync_scale.sub_masters,
    "propagation": propagation,
    "agent": sync_agent.measure,
    "simulator": simulator,
}


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="scripts/bench sync", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    chosen = parser.parse_args().parts or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if os.geteuid() != 0:
        parser.error("needs root, for sockets that keep thousands of datagrams (SO_RCVBUFFORCE)")
    report: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": os.getloadavg()[0],
        }
    }
    for name in chosen:
        print(f"== {name}", file=sys.stderr)
        report[name] = PARTS[name](lambda text: print(text, file=sys.stderr))
    report["machine"]["load_after"] = os.getloadavg()[0]
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
