"""What a picture of the mutation graph shows, however it is drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A variable: its symbols, and which of them is the node's."""

    variable: str
    symbols: tuple[str, ...]
    note: str
    here: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """A mutation of one variable, from one symbol to another: how long it takes, what else it
    ``needs`` and what it ``also`` brings about. ``step`` is its place on the node's path, from 1 (0: it
    is not on it)."""

    variable: str
    before: str
    after: str
    mutation: str
    cost_s: int
    needs: str
    also: str
    destructive: bool
    step: int

    @property
    def label(self) -> str:
        """All of it in one line."""
        needs = f" needs {self.needs}" if self.needs else ""
        return f"{self.mutation} ({self.cost_s} s){needs}" + (
            f" also {self.also}" if self.also else ""
        )


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is shown, and whose place in it."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    node: str = ""
