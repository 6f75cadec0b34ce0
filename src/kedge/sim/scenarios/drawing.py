"""Scenarios by chance: one seed gives the cluster, what goes wrong in it, and what its operator does.

Each part is drawn from a stream of its own, so that the faults of a seed do not depend on how many
commands it has.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kedge.core.kinds import Value
from kedge.sim.faults import FAULTS, Kind
from kedge.sim.happening import Happening
from kedge.sim.scenarios.expected import Expected
from kedge.sim.scenarios.scenario import QUIET_S, Scenario
from kedge.sim.scenarios.shape import COMPUTE, Shape
from kedge.sim.world.streams import Streams

OTHER = COMPUTE.rpartition(":")[0] + ":2"
SMALLEST, LARGEST = 2, 6
SHORT_QUIET_S = 150.0


def draw_shape(streams: Streams) -> Shape:
    """A small cluster, large enough for all that interacts."""
    chance = streams("shape")
    nodes = chance.randint(SMALLEST, LARGEST)
    shape = Shape(
        nodes=nodes,
        racks=chance.randint(1, 2),
        inrush=chance.choice((0, 1, 2)),
        boots=chance.choice((0, 0, 2, 3)),
        out=chance.choice((0, 1, 2)),
        submasters=chance.choice((0, 0, 0, 0, 0, 2)),
        jobs=chance.choice((0.0, 0.0, 0.7)),
        heartbeat_s=chance.choice((5.0, 10.0, 30.0)),
    )
    return replace(shape, depth=streams("depth").choice((1, 2)) if shape.submasters else 1)


def heads_of(shape: Shape) -> list[str]:
    """The processes of Kedge."""
    return ["head", *(f"sm{number}" for number in range(1, shape.submasters + 1))]


def draw_faults(
    streams: Streams, count: int, lasts_s: float, places: Mapping[str, Sequence[str]]
) -> tuple[Happening, ...]:
    """``count`` faults within ``lasts_s``; ``places`` are the targets on which each sort may fall."""
    chance = streams("faults")
    kinds = [kind for kind in FAULTS.values() if places[kind.on]]
    weights = [kind.weight for kind in kinds]
    drawn: list[Happening] = []
    for _ in range(count):
        (kind,) = chance.choices(kinds, weights)
        drawn.append(_draw(chance, kind, lasts_s, places))
    drawn.sort(key=lambda fault: fault.at_s)
    return tuple(
        Happening(f.at_s, f.kind, f.target, f.for_s, f.args, number)
        for number, f in enumerate(drawn, 1)
    )


def _draw(
    chance: random.Random, kind: Kind, lasts_s: float, places: Mapping[str, Sequence[str]]
) -> Happening:
    at_s = round(chance.uniform(0.0, lasts_s), 1)
    for_s = round(chance.uniform(*kind.usual_s), 1) if kind.lasts else 0.0
    args: dict[str, Value] = {}
    for name, number in kind.numbers.items():
        args[name] = number.written(round(chance.uniform(number.low, number.high), 3))
    for name, words in kind.words.items():
        args[name] = chance.choice(words)
    target = chance.choice(places[kind.on])
    if kind.on == "links" and chance.random() < 0.5:
        args["to"] = chance.choice(places["links"])
    return Happening(at_s, kind.name, target, for_s, args)


def places_of(nodes: Sequence[str], groups: Sequence[str], heads: Sequence[str], *, jobs: bool) -> dict[
    str, list[str]
]:  # fmt: skip
    """On what faults may fall: single nodes, groups, everything, heads, BMCs, the registry."""
    some = [*nodes, *groups, "nodes"]
    return {
        "nodes": some,
        "bmcs": some,
        "heads": list(heads),
        "registry": ["registry"],
        "scheduler": ["scheduler"] if jobs else [],
        "links": [*some, *heads, "registry", *(f"{name}.bmc" for name in [*nodes, *groups])],
    }


def draw_commands(
    streams: Streams, count: int, lasts_s: float, nodes: Sequence[str], groups: Sequence[str],
    first: int,
) -> tuple[Happening, ...]:  # fmt: skip
    """What the operator does meanwhile, numbered from ``first``; holds are released in the end."""
    chance = streams("commands")
    drawn: list[Happening] = []
    held: set[str] = set()
    for _ in range(count):
        at_s = round(chance.uniform(0.0, lasts_s * 0.9), 1)
        target = chance.choice([*nodes, *nodes, *groups])
        verb = chance.choice(("set", "set", "hold", "cycle", "power_off", "power_on", "retry"))
        args: dict[str, Value] = {}
        if verb == "set":
            args["values"] = {"image.wanted": chance.choice((OTHER, COMPUTE))}
        if verb == "hold":
            args["reason"] = "a person looks at it"
            held.add(target)
        drawn.append(Happening(at_s, verb, target, 0.0, args))
    drawn += [Happening(lasts_s, "release", target) for target in sorted(held)]
    drawn.sort(key=lambda command: command.at_s)
    return tuple(
        Happening(c.at_s, c.kind, c.target, 0.0, c.args, number)
        for number, c in enumerate(drawn, first)
    )


GENTLE = (
    "cut", "loss", "twice", "late", "delay", "agent_dies", "freezes", "clock_rate", "clock_step",
    "bmc_hangs", "bmc_busy", "bmc_slow", "bmc_password", "head_dies", "head_stops", "head_pauses",
    "disk_full", "disk_slow", "head_dies_writing", "boot_refused", "registry_down",
)  # fmt: skip
"""Faults that must not cost a node that runs anything, when they are short."""
GENTLE_S, APART_S, UP_S = 45.0, 300.0, 900.0


def draw_gentle(seed: int) -> Scenario:
    """A small cluster that is up, and short faults one after the other: no machine is started again."""
    streams = Streams(seed)
    shape = draw_shape(streams)
    nodes = [f"n{number}" for number in range(1, shape.nodes + 1)]
    chance = streams("gentle faults")
    places = places_of(
        nodes,
        [f"rack{n}" for n in range(1, shape.racks + 1)],
        heads_of(shape),
        jobs=bool(shape.jobs),
    )
    faults: list[Happening] = []
    for number in range(1, 6):
        kind = FAULTS[chance.choice(GENTLE)]
        drawn = _draw(chance, kind, APART_S / 10, places)
        args = dict(drawn.args)
        if kind.name == "head_pauses":
            args["by"] = f"{chance.randint(1, int(GENTLE_S))}s"
        for_s = min(drawn.for_s, GENTLE_S)
        at_s = UP_S + APART_S * number + drawn.at_s
        faults.append(Happening(at_s, kind.name, drawn.target, for_s, args, number))
    return Scenario(
        about=f"gently drawn from seed {seed}",
        seed=seed,
        shape=shape,
        lasts_s=UP_S + APART_S * 7,
        quiet_s=SHORT_QUIET_S,
        faults=tuple(faults),
        expected=(Expected(starts=1),),
    )


def _span(chance: random.Random) -> tuple[float, float]:
    """How long things happen, and how long it must be quiet then: mostly short, as what goes wrong close
    together goes wrong most; some long, for what goes wrong late."""
    if chance.random() < 0.75:
        return float(chance.choice((600, 900))), SHORT_QUIET_S
    return float(chance.choice((1800, 2400))), QUIET_S


def draw_scenario(seed: int) -> Scenario:
    """Everything from one number: a small cluster and half an hour in which much goes wrong."""
    streams = Streams(seed)
    shape = draw_shape(streams)
    nodes = [f"n{number}" for number in range(1, shape.nodes + 1)]
    groups = [f"rack{number}" for number in range(1, shape.racks + 1)]
    chance = streams("size")
    lasts_s, quiet_s = _span(chance)
    places = places_of(nodes, groups, heads_of(shape), jobs=bool(shape.jobs))
    faults = draw_faults(streams, chance.randint(2, 9), lasts_s, places)
    commands = draw_commands(streams, chance.randint(0, 3), lasts_s, nodes, groups, 1 + len(faults))
    return Scenario(
        about=f"drawn from seed {seed}",
        seed=seed,
        shape=shape,
        lasts_s=lasts_s,
        quiet_s=quiet_s,
        faults=faults,
        commands=commands,
    )
