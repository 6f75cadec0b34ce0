"""From one compiled graph to another, by name: what survives, and what number it has there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from kedge.core.action import UNKNOWN_VALUE, Action, Ask, State
from kedge.core.compiled import Compiled
from kedge.core.mutation import Mutation
from kedge.core.planner.task import Goals

GONE = -1

T = TypeVar("T")


def equivalent(old: Compiled, new: Compiled) -> bool:
    """Whether both graphs plan and wait alike: nothing differs but code, summaries and unplanned
    variables."""
    return (
        [(v.name, v.domain) for v in old.variables] == [(v.name, v.domain) for v in new.variables]
        and (old.guards, old.initial) == (new.guards, new.initial)
        and list(map(_action, old.actions)) == list(map(_action, new.actions))
        and list(map(_ask, old.asks)) == list(map(_ask, new.asks))
    )


def _action(action: Action) -> Action:
    return replace(action, mutation=action.mutation and _declared(action.mutation))


def _declared(mutation: Mutation) -> Mutation:
    return replace(mutation, handler=None, summary="", hints={})


def _ask(ask: Ask) -> object:
    found = ask.discovery
    plain = replace(found, handler=None, summary="")
    return ask.number, ask.variables, ask.reads, ask.parents, plain, found.handler is None


class Translation:
    """Numbers of ``old`` in numbers of ``new``.

    A mutation survives if it still brings about the same, carried out by the same side: a step of it
    that is in flight may go on. All else survives by its name.
    """

    def __init__(self, old: Compiled, new: Compiled) -> None:
        self._new = new
        self._variables = [new.number.get(v.name, GONE) for v in old.variables]
        self._values = [
            [new.values[n].get(symbol, UNKNOWN_VALUE) if n != GONE else GONE for symbol in v.domain]
            for v, n in zip(old.variables, self._variables, strict=True)
        ]
        self.actions: dict[int, Action] = {}
        """Mutations by their old number."""
        self.lasting: set[int] = set()
        """Old numbers of mutations whose steps in flight may go on."""
        for name, action in old.mutation_actions.items():
            found = new.mutation_actions.get(name)
            if found is not None and action.mutation is not None and found.mutation is not None:
                self.actions[action.number] = found
                before, after = action.mutation, found.mutation
                if (before.effects, before.where) == (after.effects, after.where):
                    self.lasting.add(action.number)
        self.asks = {
            ask.number: new.ask_named[name].number
            for name, ask in old.ask_named.items()
            if name in new.ask_named
        }

    def state(self, old: Sequence[int]) -> State:
        """What was seen of the variables that are still there; unknown are new ones, and values that
        their variable no longer has."""
        found = list(self._new.nothing_known)
        for variable, value in enumerate(old):
            if self._variables[variable] != GONE:
                found[self._variables[variable]] = self._values[variable][value]
        return tuple(self._new.normalise(found))

    def assignment(self, old: Iterable[tuple[int, int]]) -> Goals:
        """Variables with values; those that are gone are left out."""
        return tuple(
            sorted(
                (self._variables[variable], self._values[variable][value])
                for variable, value in old
                if self._variables[variable] != GONE and self._values[variable][value]
            )
        )

    def by_variable(self, old: Mapping[int, T]) -> dict[int, T]:
        """Anything kept by variable."""
        found = ((self._variables[variable], kept) for variable, kept in old.items())
        return {variable: kept for variable, kept in found if variable != GONE}

    def by_action(self, old: Mapping[int, T]) -> dict[int, T]:
        """Anything kept by mutation."""
        return {
            self.actions[number].number: kept
            for number, kept in old.items()
            if number in self.actions
        }

    def by_ask(self, old: Mapping[int, T]) -> dict[int, T]:
        """Anything kept by discovery."""
        return {self.asks[number]: kept for number, kept in old.items() if number in self.asks}
