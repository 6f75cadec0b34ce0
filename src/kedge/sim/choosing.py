"""From the words of ``kedge sim run`` to a scenario, and back to the one command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kedge.core.graph import Graph
from kedge.core.module import Module
from kedge.sim.drawing import draw_faults, draw_gentle, draw_scenario, heads_of, places_of
from kedge.sim.scenario import Scenario, read_scenario
from kedge.sim.shape import Shape
from kedge.sim.streams import Streams
from kedge.sim.tree import submasters_of
from kedge.site.loading import load

NODES_OF_A_RACK = 40
DEFAULT_NODES, DEFAULT_HOURS, DEFAULT_FAULTS = 20, 1.0, 10


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for. ``scenario`` and ``site`` are the paths, for the command that repeats it;
    ``text`` and ``files`` are what was read there."""

    seed: int | None = None
    nodes: int | None = None
    racks: int | None = None
    hours: float | None = None
    faults: int | None = None
    drawn: bool = False
    gentle: bool = False
    only: tuple[int, ...] = ()
    scenario: str = ""
    text: str = ""
    site: str = ""
    files: Mapping[str, str] = field(default_factory=dict[str, str])

    def command(self, only: Sequence[int] = ()) -> str:
        """The command that does the same again (with these things alone)."""
        words = ["kedge", "sim", "run"]
        for name in ("seed", "nodes", "racks", "hours", "faults"):
            value = getattr(self, name)
            if value is not None:
                words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
        words += ["--drawn"] if self.drawn else []
        words += ["--gentle"] if self.gentle else []
        for name in ("scenario", "site"):
            if getattr(self, name):
                words += [f"--{name}", getattr(self, name)]
        chosen = only or self.only
        words += ["--only", ",".join(map(str, chosen))] if chosen else []
        return shlex.join(words)


def choose(choice: Choice, modules: Sequence[Module]) -> Scenario:
    """The scenario of a choice; raises `KedgeError`."""
    if choice.drawn or choice.gentle:
        draw = draw_gentle if choice.gentle else draw_scenario
        scenario = draw(choice.seed if choice.seed is not None else 1)
    else:
        scenario = _with_faults(_asked_for(choice), choice, modules)
    return scenario.only(frozenset(choice.only)) if choice.only else scenario


def _asked_for(choice: Choice) -> Scenario:
    if choice.text:
        scenario = read_scenario(choice.text, choice.scenario)
    else:
        nodes = choice.nodes or DEFAULT_NODES
        scenario = Scenario(
            shape=Shape(nodes=nodes, racks=-(-nodes // NODES_OF_A_RACK)),
            lasts_s=DEFAULT_HOURS * 3600.0,
        )
    shape = scenario.shape
    if choice.nodes is not None or choice.racks is not None:
        shape = replace(shape, nodes=choice.nodes or shape.nodes, racks=choice.racks or shape.racks)
    return replace(
        scenario,
        shape=shape,
        files=choice.files,
        seed=scenario.seed if choice.seed is None else choice.seed,
        lasts_s=scenario.lasts_s if choice.hours is None else choice.hours * 3600.0,
    )


def _with_faults(scenario: Scenario, choice: Choice, modules: Sequence[Module]) -> Scenario:
    """Faults by chance: as many as were asked for; by default some, unless a file says what happens."""
    count = choice.faults if choice.faults is not None else 0 if choice.text else DEFAULT_FAULTS
    if not count:
        return scenario
    if scenario.files:
        site = load(scenario.files, Graph.of(list(modules)).variables)
        nodes, groups = list(site.nodes), list(site.groups)
        heads = ["head", *submasters_of(site)]
    else:
        nodes = [f"n{number}" for number in range(1, scenario.shape.nodes + 1)]
        groups = [f"rack{number}" for number in range(1, scenario.shape.racks + 1)]
        heads = heads_of(scenario.shape)
    taken = len(scenario.faults) + len(scenario.commands)
    places = places_of(nodes, groups, heads, jobs=bool(scenario.shape.jobs))
    drawn = draw_faults(Streams(scenario.seed), count, scenario.lasts_s, places)
    numbered = tuple(replace(fault, number=fault.number + taken) for fault in drawn)
    return replace(scenario, faults=(*scenario.faults, *numbered))
