"""What a kind of fault declares: on what it falls, its numbers, and how it begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.sim.cluster import Cluster
from kedge.sim.happening import Happening, duration, seconds
from kedge.sim.world.overlay import Undo

Begin = Callable[[Cluster, Happening], list[Undo]]
On = Literal["nodes", "links", "bmcs", "heads", "registry", "scheduler"]


class Number(NamedTuple):
    """A number that a fault takes. Between ``low`` and ``high`` chance chooses one; ``span`` says that
    it is a span of time in seconds."""

    default: float
    low: float
    high: float
    span: bool = False

    def read(self, name: str, written: object) -> float:
        """The number as it was written; raises `KedgeError`."""
        if self.span:
            return seconds(written, name)
        if isinstance(written, int | float) and not isinstance(written, bool):
            return float(written)
        raise KedgeError(
            "scenario.number", f"{name}: {written!r} is no number", next_step=f"Write {name}: "
            f"{self.default}",
        )  # fmt: skip

    def written(self, number: float) -> Value:
        """The number as a scenario has it."""
        return duration(number) if self.span else round(number, 3)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. One that ``lasts`` is undone after its time; ``usual_s`` is how long chance
    lets it last. ``words`` are arguments that take one of some words, the first by default."""

    name: str
    on: On
    summary: str
    begin: Begin
    lasts: bool = True
    usual_s: tuple[float, float] = (30.0, 900.0)
    numbers: Mapping[str, Number] = field(default_factory=dict[str, Number])
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    weight: int = 2


def number_of(happening: Happening, kind: Kind, name: str) -> float:
    """The value of a number of a fault."""
    written = happening.args.get(name)
    number = kind.numbers[name]
    return number.default if written is None else number.read(name, written)


def word_of(happening: Happening, kind: Kind, name: str) -> str:
    """The value of a word of a fault."""
    return str(happening.args.get(name, kind.words[name][0]))
