"""Variables: the typed, named pieces of a node's state that modules declare.

A variable is *planned* when the planner may reason about it: an `Enum`, or an open-ended one that
brings a `Relation` to its configured value. All others are carried, shown and handed to modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Enum, Kind, Value

UNKNOWN = "unknown"
"""The symbol of every planned variable that has not been observed, or not for long enough."""


@dataclass(frozen=True, slots=True)
class Relation:
    """How an open-ended discovered value stands to a configured one, in finitely many symbols.

    ``to`` names the configured variable it is held against; ``of(discovered, configured)`` is pure
    and returns one of ``values`` (never UNKNOWN: an unobserved variable never reaches it); ``goal``
    is the symbol that means *as configured*.
    """

    to: str
    values: tuple[str, ...]
    goal: str
    of: Callable[[Value, Value], str]


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """One declared variable, ``module.name``.

    ``while_`` maps other variables to the symbols they must hold for this one to mean anything;
    when that breaks, its planning value falls back to ``initial``.
    ``wanted_while`` is about goals alone: this variable has none on a node whose other goals are known
    to be outside of it (nobody wants a node in service that shall be off).
    ``telling`` says that its text belongs to the reason why a node is where it is.
    ``by_hand`` is how a person brings a value about that no mutation does (``{node}`` stands for the node).
    ``configured`` says whether a site may set it; ``secret`` keeps its value out of every output.
    """

    name: str
    kind: Kind
    summary: str = ""
    configured: bool = False
    default: Value = None
    relation: Relation | None = None
    while_: Mapping[str, frozenset[str]] = field(default_factory=dict[str, "frozenset[str]"])
    initial: str | None = None
    secret: bool = False
    wanted_while: Mapping[str, frozenset[str]] = field(default_factory=dict[str, "frozenset[str]"])
    telling: bool = False
    by_hand: str = ""

    @property
    def module(self) -> str:
        """The module that declared it."""
        return self.name.partition(".")[0]

    @property
    def planned(self) -> bool:
        """Whether the planner sees it."""
        return bool(self.domain)

    @property
    def domain(self) -> tuple[str, ...]:
        """The planner's symbols for it, UNKNOWN first; empty when it is not planned."""
        if self.relation is not None:
            return (UNKNOWN, *self.relation.values)
        if isinstance(self.kind, Enum):
            return (UNKNOWN, *self.kind.values)
        return ()
