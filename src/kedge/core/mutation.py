"""Mutations and discoveries: the declared edges of the state graph, and how states come to be known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Handler = Callable[[Any, Any], Awaitable[None]]
"""``async def carry_out(node, io)``: the types are those of `kedge.modules.port` (`Node`, `Io`)."""

Where = Literal["head", "node", "waits"]
"""Who carries a mutation out: a handler at the owner, an order to the agent, or nobody (it is
awaited: firmware that boots by itself, a job that ends)."""

Symbols = Mapping[str, frozenset[str]]
"""Variable name -> the symbols it may hold."""


def no_symbols() -> Symbols:
    """An empty condition."""
    return {}


@dataclass(frozen=True, slots=True)
class Mutation:
    """A declared edge: it takes the variables of ``effects`` to new values where ``requires`` holds.

    - ``requires`` / ``excludes``: allowed / forbidden symbols; UNKNOWN never satisfies ``requires``
      unless it is listed. Both include the starting values.
    - ``via``: symbols that its variables may show on the way without surprising anybody.
    - ``on_timeout``: what is taken to be true when ``timeout_s`` passes without the effect being
      discovered.
    - ``cost_s``: declared duration, at least 1, until enough runs were measured; the planner minimises
      the sum of durations and surcharges.
    - ``surcharge_s``: how much longer another way may take and still be better. It is no duration, and
      what is measured does not change it: taking the power away is quick, and yet the last resort.
    - ``destructive``: it may end work or lose state, so an owner without its lease must not start it.
    - ``budgets``: names of step budgets it takes one unit of while it runs.
    - ``hints``: what a person looks at when it failed and nobody said more, by the symbol that its first
      variable shows then (``""``: whichever it is). ``{node}`` stands for the node.
    - ``live``: it leaves all that runs on the node undisturbed, so no module's protection applies to it.
    """

    name: str
    effects: Mapping[str, str]
    requires: Symbols = field(default_factory=no_symbols)
    excludes: Symbols = field(default_factory=no_symbols)
    via: Symbols = field(default_factory=no_symbols)
    on_timeout: Mapping[str, str] = field(default_factory=dict[str, str])
    cost_s: int = 1
    surcharge_s: int = 0
    timeout_s: float = 60.0
    where: Where = "head"
    destructive: bool = False
    budgets: tuple[str, ...] = ()
    summary: str = ""
    handler: Handler | None = None
    live: bool = False
    hints: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def module(self) -> str:
        """The module that declared it."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Discovery:
    """How some variables are observed: by asking (``handler``) or by listening (no handler).

    A listening discovery that hears nothing within ``timeout_s`` of being needed yields
    ``on_timeout`` (``boot.stage: stuck``). ``every_s`` of 0 means only when needed. It makes sense
    only where ``requires`` holds.
    """

    name: str
    variables: tuple[str, ...]
    every_s: float = 0.0
    timeout_s: float = 30.0
    requires: Symbols = field(default_factory=no_symbols)
    on_timeout: Mapping[str, str] = field(default_factory=dict[str, str])
    summary: str = ""
    handler: Handler | None = None


@dataclass(frozen=True, slots=True)
class Protection:
    """A module's demand on everybody's mutations: whatever changes ``variable`` (where ``to`` is given:
    to one of these symbols; where ``leaving`` is given: and may begin at one of those) requires this too."""

    variable: str
    requires: Symbols
    by: str
    why: str = ""
    to: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()
