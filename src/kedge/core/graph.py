"""The mutation graph: all modules' declarations, checked together, with goals and symbols.

A graph never changes: modules that come or go make a new one. Everything is kept by name and
compiled in the order of names, so that two registrations of the same modules are the same graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from kedge.core.compiled import Compiled
from kedge.core.duty import Duty
from kedge.core.kinds import Enum, Value
from kedge.core.module import Module
from kedge.core.mutation import Discovery, Mutation
from kedge.core.registration import check
from kedge.core.variable import UNKNOWN, Variable


class Graph:
    """Variables, mutations and discoveries by name. Make one with `Graph.of`."""

    def __init__(self, modules: Mapping[str, Module], compiled: Compiled) -> None:
        every = modules.values()
        self.modules = modules
        self.variables: Mapping[str, Variable] = _by_name(v for m in every for v in m.variables)
        self.mutations: Mapping[str, Mutation] = _by_name(x for m in every for x in m.mutations)
        self.discoveries: Mapping[str, Discovery] = _by_name(
            d for m in every for d in m.discoveries
        )
        self.duties: Mapping[str, Duty] = _by_name(d for m in every for d in m.duties)
        self.telling = tuple(name for name, v in self.variables.items() if v.telling)
        self.compiled = compiled

    @staticmethod
    def of(modules: Iterable[Module]) -> Graph:
        """Register modules; raises `KedgeError` naming both parties of every misfit."""
        given = sorted(modules, key=lambda m: m.name)
        check(given)
        compiled = Compiled(
            (v for m in given for v in m.variables),
            (x for m in given for x in m.mutations),
            (d for m in given for d in m.discoveries),
            [p for m in given for p in m.protections],
        )
        return Graph({m.name: m for m in given}, compiled)

    def symbol(self, variable: str, discovered: Value, configured: Value) -> str:
        """The planner's symbol of a raw discovered value; None, and what no one can read, is unknown.

        ``configured`` is the value of the variable that its relation is to (ignored for an Enum). A
        module whose relation raises or answers nonsense makes its own variable unknown, no more.
        """
        declared = self.variables[variable]
        if discovered is None:
            return UNKNOWN
        if declared.relation is None:
            known = isinstance(declared.kind, Enum) and discovered in declared.kind.values
            return str(discovered) if known else UNKNOWN
        if configured is None:
            return UNKNOWN
        try:
            symbol = declared.relation.of(discovered, configured)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return UNKNOWN
        return symbol if symbol in declared.relation.values else UNKNOWN

    def goals(self, values: Mapping[str, Value]) -> dict[str, str]:
        """The goals that follow from a node's configured values (and the variables' defaults)."""
        goals: dict[str, str] = {}
        for name, variable in self.variables.items():
            if not variable.planned:
                continue
            if variable.configured:
                value = values.get(name, variable.default)
                if isinstance(value, str) and value in variable.domain:
                    goals[name] = value
            relation = variable.relation
            if relation is not None:
                to = self.variables[relation.to]
                if values.get(relation.to, to.default) is not None:
                    goals[name] = relation.goal
        return self.meaningful(goals)

    def meaningful(self, goals: Mapping[str, str]) -> dict[str, str]:
        """``goals`` without those that other goals make meaningless.

        A goal of a parent that breaks a child's guard forces the child to its reset value, and so on
        downwards: ``power.state=off`` leaves no goal for ``image.running``. Nor does a variable have one
        when the goals are known to be outside its ``wanted_while``.
        """
        compiled = self.compiled
        wanted = {name: symbol for name, symbol in goals.items() if self._wanted(name, goals)}
        kept = dict(compiled.assignment(wanted))
        forced = dict(kept)
        for child in compiled.downwards:
            if any(p in forced and forced[p] not in ok for p, ok in compiled.guards[child]):
                forced[child] = compiled.initial[child]
                kept.pop(child, None)
        return {compiled.name(v): compiled.symbol(v, value) for v, value in kept.items()}

    def _wanted(self, name: str, goals: Mapping[str, str]) -> bool:
        variable = self.variables.get(name)
        if variable is None:
            return True
        return all(
            goals.get(other) is None or goals[other] in allowed
            for other, allowed in variable.wanted_while.items()
        )


Named = TypeVar("Named", Variable, Mutation, Discovery, Duty)


def _by_name(items: Iterable[Named]) -> dict[str, Named]:
    return {item.name: item for item in sorted(items, key=lambda item: item.name)}
