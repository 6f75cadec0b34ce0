"""Rollouts in simulated worlds: one that somebody asked for, and small ones by chance with bad luck."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import yaml

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.sim.commands import RELEASE
from kedge.sim.happening import Happening
from kedge.sim.scenarios.drawing import draw_faults, heads_of, places_of
from kedge.sim.scenarios.scenario import Scenario
from kedge.sim.scenarios.shape import Shape
from kedge.sim.world.streams import Streams

FOLDER = "rollouts/"
LONGEST_S = 30 * 86_400.0
USUAL_JOBS = 0.9
WEEKLY = """\
summary: made up for a simulated cluster, as none was given
max_unavailable: 10%
gates:
  test: { command: "true", deadline: 30min }
stages:
  - { name: canary, count: 2, gates: [test] }
  - { name: tenth, percent: 10, gates: [test] }
  - { name: rest, rest: true }
"""


def with_rollout(scenario: Scenario, rollout: str, text: str) -> Scenario:
    """The scenario in which a rollout begins when every node is up; raises `KedgeError` for one that the
    site does not describe. ``text`` is that of a file; empty: ``rollout`` is a name."""
    name = rollout.rpartition("/")[2].rpartition(".")[0] if text else rollout
    path = f"{FOLDER}{name}.yaml"
    described = [p for p in (path, path.replace(".yaml", ".yml")) if p in scenario.files]
    if not text and not described and scenario.files:
        names = [p.removeprefix(FOLDER).rpartition(".")[0] for p in scenario.files if FOLDER in p]
        raise KedgeError(
            "rollout.unknown", f"the site describes no rollout {rollout!r}, and there is no such file",
            next_step=f"Known: {', '.join(names) or 'none'}. Or give the path of a rollout's file",
        )  # fmt: skip
    more = {} if described and not text else {path: text or WEEKLY}
    shape = scenario.shape
    if not shape.jobs and (not scenario.files or _wants_jobs(scenario)):
        shape = replace(shape, jobs=USUAL_JOBS)
    number = 1 + len(scenario.faults) + len(scenario.commands)
    begin = Happening(0.0, "rollout", name, args={"release": RELEASE}, number=number)
    return replace(
        scenario,
        shape=shape,
        rollouts={**scenario.rollouts, **more},
        up_first=True,
        helps=True,
        settles_s=LONGEST_S,
        commands=(*scenario.commands, begin),
    )


def _wants_jobs(scenario: Scenario) -> bool:
    return any("scheduler.state" in text for text in scenario.files.values())


# ---- by chance


def draw_rolling(seed: int) -> Scenario:
    """Everything from one number: a small busy cluster that is up, a rollout, and what goes wrong."""
    streams = Streams(seed)
    chance = streams("rolling shape")
    nodes = chance.randint(3, 8)
    per_rack = -(-nodes // chance.randint(1, 3))
    shape = Shape(
        nodes=nodes,
        racks=-(-nodes // per_rack),
        submasters=chance.choice((0, 0, 0, 0, 0, 2)),
        out=chance.choice((0, 0, 2)),
        jobs=chance.choice((0.0, 0.6, 0.8, 0.9)),
        job_nodes=chance.choice((1, 2, 4)),
        heartbeat_s=chance.choice((10.0, 30.0)),
    )
    names = [f"n{number}" for number in range(1, nodes + 1)]
    racks = [f"rack{number}" for number in range(1, shape.racks + 1)]
    lasts_s = float(chance.choice((1200, 2400, 3600)))
    begin = Happening(0.0, "rollout", "weekly", args={"release": RELEASE})
    people = _people(streams("rolling people"), names, lasts_s, jobs=bool(shape.jobs))
    places = places_of(names, racks, heads_of(shape), jobs=bool(shape.jobs))
    faults = draw_faults(streams, chance.randint(0, 5), lasts_s, places)
    faults = (*faults, *_bad_luck(streams("rolling luck"), lasts_s))
    every = (*faults, begin, *people)
    numbered = tuple(replace(one, number=number) for number, one in enumerate(every, 1))
    return Scenario(
        about=f"a rollout drawn from seed {seed}",
        seed=seed,
        shape=shape,
        rollouts={f"{FOLDER}weekly.yaml": _rollout(streams("rollout"), nodes)},
        up_first=True,
        lasts_s=lasts_s,
        settles_s=4 * 86_400.0,
        faults=numbered[: len(faults)],
        commands=numbered[len(faults) :],
    )


def _rollout(chance: random.Random, nodes: int) -> str:
    """A rollout's file."""
    gates: dict[str, Any] = {"test": {"command": "true", "deadline": "10min"}}
    if chance.random() < 0.4:
        gates["speed"] = {
            "compare": "true", "deadline": "30min", "samples": 1, "most_samples": nodes
        }  # fmt: skip
    canary: dict[str, Any] = {"name": "canary", "count": chance.randint(1, 2), "gates": ["test"]}
    half: dict[str, Any] = {"name": "half", "percent": 50, "gates": list(gates)[-1:]}
    if chance.random() < 0.3:
        half["approval"] = "manual"
    if chance.random() < 0.3:
        half |= {"deadline": "15min", "at_deadline": chance.choice(("wait", "ask"))}
    found: dict[str, Any] = {
        "max_unavailable": chance.randint(1, max(1, nodes // 2)),
        "order": chance.choice(("shortest", "idle")),
        "on_failure": chance.choice(("pause", "pause", "rollback")),
        "max_failed": chance.choice((0, 0, 1)),
        "gates": gates,
        "stages": [canary, half, {"name": "rest", "rest": True}],
    }
    if chance.random() < 0.5:
        found["max_unavailable_per"] = {"rack": chance.randint(1, 2)}
    if chance.random() < 0.3:
        found["one_at_a_time"] = "rack"
    return yaml.safe_dump(found, sort_keys=False)


def _bad_luck(chance: random.Random, lasts_s: float) -> list[Happening]:
    """What spoils a rollout itself: a release that does not work, gates that fail."""
    found: list[Happening] = []
    if chance.random() < 0.2:
        how = chance.choice(("unfit", "init"))
        at_s = round(chance.uniform(0.0, lasts_s / 4), 1)
        found.append(Happening(at_s, "build_broken", "registry", 0.0, {"how": how}))
    if chance.random() < 0.3:
        how = chance.choice(("fail", "hang", "slow"))
        for_s = round(chance.uniform(300.0, lasts_s), 1)
        args: dict[str, Value] = {"how": how}
        found.append(
            Happening(round(chance.uniform(0, lasts_s / 2), 1), "gates_fail", "head", for_s, args)
        )
    return found


def _people(
    chance: random.Random, nodes: list[str], lasts_s: float, *, jobs: bool
) -> list[Happening]:
    """What persons do meanwhile: drain a node and give it back, hold one, speak to the rollout."""
    found: list[Happening] = []
    for _ in range(chance.randint(0, 3)):
        at_s = round(chance.uniform(0.0, lasts_s * 0.8), 1)
        later_s = round(min(lasts_s, at_s + chance.uniform(60.0, 1800.0)), 1)
        node = chance.choice(nodes)
        what = chance.random()
        if what < 0.4 and jobs:
            found.append(Happening(at_s, "drain", node, args={"reason": "a person looks at it"}))
            found.append(Happening(later_s, "undrain", node))
        elif what < 0.6:
            found.append(Happening(at_s, "hold", node, args={"reason": "a person looks at it"}))
            found.append(Happening(later_s, "release", node))
        else:
            verb = chance.choice(("pause", "resume", "approve", "rollback"))
            found.append(Happening(at_s, verb, "weekly"))
    return found
