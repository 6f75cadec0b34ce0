"""A scenario: the cluster, how long, what happens, and what must be so; as a file that people write.

It is all that a run is made of. A failing seed can be written as one, and kept as a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import yaml

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.lib.nearest import nearest
from kedge.sim.commands import COMMANDS
from kedge.sim.faults import FAULTS
from kedge.sim.happening import Happening, duration, seconds
from kedge.sim.scenarios.expected import Expected, read_expected
from kedge.sim.scenarios.shape import Shape

TOP = (
    "about", "seed", "cluster", "rollouts", "up_first", "helps", "lasts", "settles", "quiet",
    "faults", "commands", "expect",
)  # fmt: skip
DEFAULT_LASTS_S, DEFAULT_SETTLES_S = 3600.0, 7200.0
QUIET_S = 600.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """``lasts_s`` is how long things may happen, ``settles_s`` how long the cluster may take after that
    until every node has converged and every rollout is over. ``files``: the site; empty: that of
    ``shape``. ``rollouts`` are more files for it, ``release_files`` what their release is made of (empty:
    the site's files, with new builds of all images). With ``up_first`` all times count from when every
    node is up; with ``helps`` a person looks after the rollouts from the beginning, else once all
    faults are over. In the end nothing may move for ``quiet_s``."""

    about: str = ""
    seed: int = 1
    shape: Shape = field(default_factory=Shape)
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    rollouts: Mapping[str, str] = field(default_factory=dict[str, str])
    release_files: Mapping[str, str] = field(default_factory=dict[str, str])
    up_first: bool = False
    helps: bool = False
    lasts_s: float = DEFAULT_LASTS_S
    settles_s: float = DEFAULT_SETTLES_S
    quiet_s: float = QUIET_S
    faults: tuple[Happening, ...] = ()
    commands: tuple[Happening, ...] = ()
    expected: tuple[Expected, ...] = ()

    def only(self, numbers: frozenset[int]) -> Scenario:
        """The same with these faults and commands alone."""
        return replace(
            self,
            faults=tuple(fault for fault in self.faults if fault.number in numbers),
            commands=tuple(command for command in self.commands if command.number in numbers),
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of all that happens, in order of time."""
        happens = sorted((*self.faults, *self.commands), key=lambda h: (h.at_s, h.number))
        return tuple(happening.number for happening in happens)


def read_scenario(text: str, where: str) -> Scenario:
    """A scenario as it was written; raises `KedgeError`."""
    try:
        written: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise KedgeError("scenario.unreadable", "is no YAML", where=where, why=str(error)) from None
    top = _mapping(written, where)
    for key in top:
        _known(key, TOP, "key", where)
    try:
        shape = Shape(**cast("dict[str, Any]", _mapping(top.get("cluster") or {}, where)))
    except TypeError as error:
        raise KedgeError(
            "scenario.cluster", f"cluster: {error}", where=where,
            next_step=f"Valid: {', '.join(Shape.__annotations__)}",
        ) from None  # fmt: skip
    faults = _happenings(top, "faults", where, 1)
    commands = _happenings(top, "commands", where, 1 + len(faults))
    expected = _list(top.get("expect"), where)
    return Scenario(
        about=str(top.get("about") or ""),
        seed=int(cast("int", top.get("seed", 1))),
        shape=shape,
        rollouts=_rollouts(top, where),
        up_first=bool(top.get("up_first")),
        helps=bool(top.get("helps")),
        lasts_s=seconds(top.get("lasts", DEFAULT_LASTS_S), "lasts"),
        settles_s=seconds(top.get("settles", DEFAULT_SETTLES_S), "settles"),
        quiet_s=seconds(top.get("quiet", QUIET_S), "quiet"),
        faults=faults,
        commands=commands,
        expected=tuple(read_expected(_mapping(entry, where), where) for entry in expected),
    )


def _rollouts(top: Mapping[str, object], where: str) -> dict[str, str]:
    """Rollouts by name, each as the file of the site that it would be."""
    written = _mapping(top.get("rollouts") or {}, where)
    return {
        f"rollouts/{name}.yaml": yaml.safe_dump(about, sort_keys=False)
        for name, about in written.items()
    }


def _happenings(
    top: Mapping[str, object], key: str, where: str, first: int
) -> tuple[Happening, ...]:
    return tuple(
        _happening(_mapping(entry, where), key == "faults", f"{where}: {key}[{number}]", number)
        for number, entry in enumerate(_list(top.get(key), where), first)
    )


def _happening(entry: Mapping[str, object], is_fault: bool, where: str, number: int) -> Happening:
    """``{ at: 10m, bmc_hangs: "n[1-4]", for: 5m }``"""
    kinds = tuple(FAULTS) if is_fault else tuple(COMMANDS)
    named = [key for key in entry if key in kinds]
    named = named[:1] + [key for key in named[1:] if key not in _arguments(named[0], is_fault)]
    if len(named) != 1:
        rest = [key for key in entry if key not in ("at", "for")]
        if not named and rest:
            _known(rest[0], kinds, "kind", where)
        raise KedgeError(
            "scenario.kind", "names no kind, or several", where=where,
            next_step=f"Write one of: {', '.join(kinds)}",
        )  # fmt: skip
    name = named[0]
    args = {key: value for key, value in entry.items() if key not in ("at", "for", name)}
    valid = _arguments(name, is_fault)
    for key in args:
        _known(key, valid, f"word of {name}", where)
    if is_fault:
        _check_arguments(name, args, where)
    return Happening(
        at_s=seconds(entry.get("at", 0), f"{where}: at"),
        kind=name,
        target=str(entry[name] if entry[name] is not None else ""),
        for_s=seconds(entry.get("for", 0), f"{where}: for"),
        args=cast("dict[str, Value]", args),
        number=number,
    )


def _arguments(name: str, is_fault: bool) -> tuple[str, ...]:
    if not is_fault:
        return tuple(COMMANDS[name].args)
    kind = FAULTS[name]
    return (*kind.numbers, *kind.words, *(("to",) if kind.on == "links" else ()))


def _check_arguments(name: str, args: Mapping[str, object], where: str) -> None:
    kind = FAULTS[name]
    for key, value in args.items():
        if key in kind.numbers:
            kind.numbers[key].read(f"{where}: {key}", value)
        elif key in kind.words:
            _known(str(value), kind.words[key], key, where)


def _mapping(written: object, where: str) -> Mapping[str, object]:
    if not isinstance(written, dict):
        raise KedgeError("scenario.not_a_mapping", f"{written!r} is no mapping", where=where)
    return {str(key): value for key, value in cast("dict[object, object]", written).items()}


def _list(written: object, where: str) -> list[object]:
    if written is None:
        return []
    if not isinstance(written, list):
        raise KedgeError("scenario.not_a_list", f"{written!r} is no list", where=where)
    return cast("list[object]", written)


def _known(word: str, valid: tuple[str, ...], what: str, where: str) -> None:
    if word not in valid:
        close = nearest(word, valid)
        raise KedgeError(
            "scenario.unknown", f"{word!r} is no {what}", where=where,
            next_step=f"Did you mean {close}?" if close else f"Valid: {', '.join(valid)}",
        )  # fmt: skip


def write_scenario(scenario: Scenario) -> str:
    """The scenario as a file."""
    shape = {
        name: getattr(scenario.shape, name)
        for name in Shape.__annotations__
        if getattr(scenario.shape, name) != getattr(Shape(), name)
    }
    lines = [f"about: {scenario.about or 'drawn by chance'}", f"seed: {scenario.seed}"]
    lines.append(f"cluster: {_flow(shape)}")
    if scenario.rollouts:
        lines.append("rollouts:")
        for path, text in scenario.rollouts.items():
            name = path.rpartition("/")[2].removesuffix(".yaml")
            lines.append(f"  {name}: {_flow(yaml.safe_load(text))}")
    lines += [f"{key}: true" for key in ("up_first", "helps") if getattr(scenario, key)]
    lines.append(f"lasts: {duration(scenario.lasts_s)}")
    for key, usual_s in (("settles", DEFAULT_SETTLES_S), ("quiet", QUIET_S)):
        if getattr(scenario, f"{key}_s") != usual_s:
            lines.append(f"{key}: {duration(getattr(scenario, f'{key}_s'))}")
    for key, happens in (("faults", scenario.faults), ("commands", scenario.commands)):
        if happens:
            lines.append(f"{key}:")
            lines += [f"  - {_flow(_entry(happening))}" for happening in happens]
    return "\n".join(lines) + "\n"


def _entry(happening: Happening) -> dict[str, Value]:
    entry: dict[str, Value] = {"at": duration(happening.at_s), happening.kind: happening.target}
    if happening.for_s:
        entry["for"] = duration(happening.for_s)
    return {**entry, **happening.args}


def _flow(written: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(dict(written), default_flow_style=True, sort_keys=False, width=10_000)
    return text.strip()
