"""Actions and discoveries in numbers: the atoms of planning.

A state is a tuple of small integers, one per planned variable; 0 is always UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.mutation import Discovery, Mutation

State = tuple[int, ...]
Values = frozenset[int]
UNKNOWN_VALUE = 0


@dataclass(frozen=True, slots=True)
class Action:
    """A mutation, or one hoped-for outcome of a discovery, closed under resets.

    ``reads`` are requirements, ``writes`` all effects with resets, ``own`` those that were declared
    (they must be discovered for a step to be done), ``via`` what its variables may show meanwhile.
    """

    number: int
    name: str
    reads: tuple[tuple[int, Values], ...]
    writes: tuple[tuple[int, int], ...]
    own: tuple[tuple[int, int], ...]
    cost: int
    via: Mapping[int, Values] = field(default_factory=dict[int, Values])
    mutation: Mutation | None = None
    discovery: int = -1
    reads_of: dict[int, Values] = field(
        default_factory=dict[int, Values], init=False, compare=False
    )
    writes_of: dict[int, int] = field(default_factory=dict[int, int], init=False, compare=False)

    def __post_init__(self) -> None:
        self.reads_of.update(self.reads)
        self.writes_of.update(self.writes)

    @property
    def destructive(self) -> bool:
        """Whether it may end work or lose state."""
        return self.mutation is not None and self.mutation.destructive


@dataclass(frozen=True, slots=True)
class Ask:
    """A discovery in numbers: its planned variables and what it requires."""

    number: int
    discovery: Discovery
    variables: tuple[int, ...]
    reads: tuple[tuple[int, Values], ...]
    parents: tuple[int, ...]
    on_timeout: tuple[tuple[int, int], ...]
