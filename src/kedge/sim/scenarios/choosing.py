"""From the words of ``kedge sim run`` to a scenario, and back to the one command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kedge.core.graph import Graph
from kedge.core.module import Module
from kedge.sim.masters.tree import submasters_of
from kedge.sim.scenarios.drawing import draw_faults, draw_gentle, draw_scenario, heads_of, places_of
from kedge.sim.scenarios.drawing_rollouts import draw_rolling, with_rollout
from kedge.sim.scenarios.scenario import Scenario, read_scenario
from kedge.sim.scenarios.shape import Shape
from kedge.sim.world.streams import Streams
from kedge.site.loading import load

NODES_OF_A_RACK = 40
DEFAULT_NODES, DEFAULT_HOURS, DEFAULT_FAULTS = 20, 1.0, 10


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for. ``scenario``, ``site`` and ``release`` are the paths, for the command that repeats
    it; ``text``, ``files`` and ``release_files`` are what was read there. ``rollout`` is a name, or the path
    of a file with ``rollout_text``."""

    seed: int | None = None
    nodes: int | None = None
    racks: int | None = None
    hours: float | None = None
    faults: int | None = None
    drawn: bool = False
    gentle: bool = False
    rolling: bool = False
    jobs: float | None = None
    job_hours: float | None = None
    rollout: str = ""
    rollout_text: str = ""
    release: str = ""
    release_files: Mapping[str, str] = field(default_factory=dict[str, str])
    only: tuple[int, ...] = ()
    scenario: str = ""
    text: str = ""
    site: str = ""
    files: Mapping[str, str] = field(default_factory=dict[str, str])

    def command(self, only: Sequence[int] = ()) -> str:
        """The command that does the same again (with these things alone)."""
        words = ["kedge", "sim", "run"]
        for name in ("seed", "nodes", "racks", "hours", "faults", "jobs", "job_hours"):
            value = getattr(self, name)
            if value is not None:
                option = f"--{name.replace('_', '-')}"
                words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
        words += [f"--{name}" for name in ("drawn", "gentle", "rolling") if getattr(self, name)]
        for name in ("scenario", "site", "rollout", "release"):
            if getattr(self, name):
                words += [f"--{name}", getattr(self, name)]
        chosen = only or self.only
        words += ["--only", ",".join(map(str, chosen))] if chosen else []
        return shlex.join(words)


def choose(choice: Choice, modules: Sequence[Module]) -> Scenario:
    """The scenario of a choice; raises `KedgeError`."""
    if choice.drawn or choice.gentle or choice.rolling:
        draw = draw_gentle if choice.gentle else draw_rolling if choice.rolling else draw_scenario
        scenario = draw(choice.seed if choice.seed is not None else 1)
    else:
        scenario = _asked_for(choice)
        if choice.rollout:
            scenario = with_rollout(scenario, choice.rollout, choice.rollout_text)
        scenario = _with_faults(scenario, choice, modules)
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
    named = {name: getattr(choice, name) for name in ("nodes", "racks", "jobs", "job_hours")}
    given = {name: value for name, value in named.items() if value is not None}
    shape = replace(scenario.shape, **given)
    if choice.hours is not None:
        lasts_s = choice.hours * 3600.0
    elif choice.rollout and not choice.faults and not choice.text:
        lasts_s = 0.0  # nothing goes wrong: it lasts as long as the rollout
    else:
        lasts_s = scenario.lasts_s
    return replace(
        scenario,
        shape=shape,
        files=choice.files,
        release_files=choice.release_files,
        seed=scenario.seed if choice.seed is None else choice.seed,
        lasts_s=lasts_s,
    )


def _with_faults(scenario: Scenario, choice: Choice, modules: Sequence[Module]) -> Scenario:
    """Faults by chance: as many as were asked for; by default some, unless a file says what happens."""
    usual = 0 if choice.text or choice.rollout else DEFAULT_FAULTS
    count = usual if choice.faults is None else choice.faults
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
