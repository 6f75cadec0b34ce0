"""``scripts/bench rollout``: what a rollout costs a busy cluster, and what a decision costs the head.

The cluster is simulated (`kedge.sim.rolling`), the rollout's decisions and the engine are the production
ones. Costs are in node-hours for each node updated, against the least possible (the update itself) and
against the ways that sites use without Kedge. A decision is timed at the worst moment: in the middle
of a stage, when nodes of both releases, busy ones and idle ones must be looked at.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from dataclasses import replace
from typing import Any

from kedge.rollout.decide import decide
from kedge.rollout.model import Progress, Rollout, View
from kedge.sim.rolling.report import report
from kedge.sim.rolling.ways import weekly

DECISIONS = 25
NOW = 1_000_000.0


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=2)
    chosen = parser.parse_args()
    told: dict[str, Any] = {
        "bench": "rollout",
        "rollout": report(chosen.nodes, range(1, chosen.seeds + 1), say),
        "decision": [decision(nodes) for nodes in (5000, 100_000)],
    }
    print(json.dumps(told, indent=2))


def say(text: str) -> None:
    """What goes on."""
    print(text, file=sys.stderr, flush=True)


def decision(nodes: int) -> dict[str, Any]:
    """Seconds for one round of the last stage, half of the nodes on the new release."""
    rollout = replace(weekly(nodes), most_out_of={"rack": 2})
    views = mixed(rollout)
    progress = Progress(stage=2, stage_since=NOW, since=NOW)
    plain = timed(replace(rollout, most_out_of={}), progress, views)
    racks = timed(rollout, progress, views)
    say(f"{nodes} nodes: a decision takes {plain:.4f} s, with a limit per rack {racks:.4f} s")
    return {"nodes": nodes, "round_s": round(plain, 5), "round_per_rack_s": round(racks, 5)}


def timed(rollout: Rollout, progress: Progress, views: dict[str, View]) -> float:
    """The median of some rounds."""
    took: list[float] = []
    for _ in range(DECISIONS):
        begin = time.perf_counter()
        decided = decide(rollout, progress, views, NOW)
        took.append(time.perf_counter() - begin)
        assert decided.actions, decided.waits
    return statistics.median(took)


def mixed(rollout: Rollout) -> dict[str, View]:
    """Half of the nodes done, some on their way, the others busy or idle."""
    chance = random.Random(1)
    views: dict[str, View] = {}
    for number, name in enumerate(rollout.was):
        drawn = chance.random()
        release = "B" if drawn < 0.52 else "A"
        flying = 0.5 < drawn < 0.52
        busy = 0.0 if drawn > 0.95 or flying else NOW + chance.uniform(60, 250_000)
        domains = {"rack": str(number // 40)}
        views[name] = View(release, not flying, not flying, busy_until=busy, domains=domains)
    return views


if __name__ == "__main__":
    main()
