"""The mutation graph in numbers: what the planner searches and the engine compares.

Variables and actions are numbered by *name*, so the order of registration cannot matter. A state is
a tuple of small integers, one per planned variable; 0 is always UNKNOWN.

``while_`` rules are compiled away: every action is *closed* under resets. An effect that breaks a
guard of a child also resets that child (and so on downwards, in topological order); an effect that
sets a child to a non-reset value gains the guard as a requirement. What remains is plain
finite-domain planning without conditional effects, and ``normalise`` is the same closure for states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kedge.core.action import UNKNOWN_VALUE, Action, Ask, State, Values
from kedge.core.mutation import Discovery, Mutation, Protection
from kedge.core.variable import Variable
from kedge.lib.errors import KedgeError


class Compiled:
    """All planned variables, their guards, and the closed actions."""

    def __init__(
        self,
        variables: Iterable[Variable],
        mutations: Iterable[Mutation],
        discoveries: Iterable[Discovery],
        protections: Sequence[Protection],
    ) -> None:
        self.variables = tuple(sorted((v for v in variables if v.planned), key=lambda v: v.name))
        self.number = {v.name: i for i, v in enumerate(self.variables)}
        self.values = tuple({s: i for i, s in enumerate(v.domain)} for v in self.variables)
        self.guards = tuple(self.condition(v.while_) for v in self.variables)
        self.initial = tuple(
            self.values[i][v.initial] if v.initial is not None else UNKNOWN_VALUE
            for i, v in enumerate(self.variables)
        )
        self.downwards = self._downwards()
        self.nothing_known: State = (UNKNOWN_VALUE,) * len(self.variables)
        self.actions = self._mutations(mutations, protections)
        self.mutation_actions = {a.name: a for a in self.actions}
        self.asks = self._asks(discoveries)
        self.ask_of = {v: ask for ask in self.asks for v in ask.variables}
        self.ask_named = {ask.discovery.name: ask for ask in self.asks}
        self.actions += self._outcomes()

    # --- symbols and numbers -------------------------------------------------------------------

    def condition(self, allowed: Mapping[str, Iterable[str]]) -> tuple[tuple[int, Values], ...]:
        """A condition in numbers, by variable."""
        return tuple(
            sorted(
                (self.number[name], frozenset(self.values[self.number[name]][s] for s in symbols))
                for name, symbols in allowed.items()
            )
        )

    def assignment(self, values: Mapping[str, str]) -> tuple[tuple[int, int], ...]:
        """Variable -> symbol in numbers; what is not planned or not valid is left out."""
        return tuple(
            sorted(
                (self.number[name], self.values[self.number[name]][symbol])
                for name, symbol in values.items()
                if name in self.number and symbol in self.values[self.number[name]]
            )
        )

    def named(self, assignment: Iterable[tuple[int, int]]) -> dict[str, str]:
        """An assignment in words."""
        return {self.name(v): self.symbol(v, value) for v, value in assignment}

    def name(self, variable: int) -> str:
        """The variable's name."""
        return self.variables[variable].name

    def symbol(self, variable: int, value: int) -> str:
        """A value's symbol."""
        return self.variables[variable].domain[value]

    def symbols(self, state: Sequence[int]) -> dict[str, str]:
        """A state in words."""
        return {v.name: v.domain[state[i]] for i, v in enumerate(self.variables)}

    # --- resets --------------------------------------------------------------------------------

    def _downwards(self) -> tuple[int, ...]:
        order: list[int] = []

        def visit(variable: int) -> None:
            if variable not in order:
                for parent, _ in self.guards[variable]:
                    visit(parent)
                order.append(variable)

        for variable in range(len(self.variables)):
            visit(variable)
        return tuple(v for v in order if self.guards[v])

    def broken(self, variable: int, state: Sequence[int]) -> bool:
        """Whether its guard is *known* to be broken (UNKNOWN satisfies a guard)."""
        return any(state[p] not in ok and state[p] for p, ok in self.guards[variable])

    def normalise(self, state: list[int]) -> list[int]:
        """Reset, in place, every variable whose guard is known to be broken."""
        for variable in self.downwards:
            if self.broken(variable, state):
                state[variable] = self.initial[variable]
        return state

    def doubt(self, seen: Sequence[int]) -> list[int]:
        """The view of what was seen: what hangs on something unknown is itself unknown.

        The last value seen is not forgotten: it is believed again when the parent is known again.
        """
        state = list(seen)
        for variable in self.downwards:
            guard = self.guards[variable]
            if any(state[p] == UNKNOWN_VALUE for p, _ in guard) and not self.broken(
                variable, state
            ):
                state[variable] = UNKNOWN_VALUE
        return state

    def close(self, effects: Mapping[int, int]) -> dict[int, int]:
        """``effects`` with every reset that follows from them."""
        closed = dict(effects)
        for child in self.downwards:
            if any(
                p in closed and closed[p] not in ok and closed[p] for p, ok in self.guards[child]
            ):
                closed[child] = self.initial[child]
        return closed

    # --- actions -------------------------------------------------------------------------------

    def _mutations(
        self, mutations: Iterable[Mutation], protections: Sequence[Protection]
    ) -> tuple[Action, ...]:
        closed: list[Action] = []
        for number, mutation in enumerate(sorted(mutations, key=lambda m: m.name)):
            own = dict(self.assignment(mutation.effects))
            writes = self.close(own)
            self._refuse_contradiction(mutation, own, writes)
            reads = self._reads(mutation, own, writes, protections)
            for name in mutation.on_timeout:
                if self.number[name] not in writes:
                    raise KedgeError(
                        "graph.on_timeout",
                        f"on_timeout sets {name}, which the mutation does not change",
                        where=f"mutation {mutation.name}, variable {name}",
                    )
            closed.append(
                Action(
                    number,
                    mutation.name,
                    tuple(sorted(reads.items())),
                    tuple(sorted(writes.items())),
                    tuple(sorted(own.items())),
                    mutation.cost_s + mutation.surcharge_s,
                    dict(self.condition(mutation.via)),
                    mutation,
                )
            )
        return tuple(closed)

    def _refuse_contradiction(
        self, mutation: Mutation, own: Mapping[int, int], writes: Mapping[int, int]
    ) -> None:
        for variable, value in own.items():
            if writes[variable] != value:
                parents = ", ".join(self.name(p) for p, _ in self.guards[variable] if p in writes)
                raise KedgeError(
                    "graph.reset",
                    f"sets {self.name(variable)}={self.symbol(variable, value)} but also changes "
                    f"{parents} so that it means nothing",
                    where=f"mutation {mutation.name}, variable {self.name(variable)}",
                )

    def _reads(
        self,
        mutation: Mutation,
        own: Mapping[int, int],
        writes: Mapping[int, int],
        protections: Sequence[Protection],
    ) -> dict[int, Values]:
        """Its requirements: declared, not excluded, guards of what it sets, and protections."""
        reads: dict[int, Values] = {}

        def require(variable: int, allowed: Values, why: str) -> None:
            both = reads.get(variable, allowed) & allowed
            if not both:
                raise KedgeError(
                    "graph.contradiction",
                    f"can never run: its other requirements on {self.name(variable)} contradict {why}",
                    where=f"mutation {mutation.name}, variable {self.name(variable)}",
                )
            reads[variable] = both

        for variable, allowed in self.condition(mutation.requires):
            require(variable, allowed, "its requires")
        for variable, forbidden in self.condition(mutation.excludes):
            known = frozenset(range(1, len(self.values[variable])))
            require(variable, known - forbidden, "its excludes")
        for variable, value in sorted(own.items()):
            if value != self.initial[variable]:
                for parent, allowed in self.guards[variable]:
                    if parent not in writes:
                        require(parent, allowed, f"that {self.name(variable)} needs it (while_)")
        for protection in sorted(protections, key=lambda p: (p.by, p.variable)):
            if self._protects(protection, mutation, writes, reads):
                for variable, allowed in self.condition(protection.requires):
                    require(variable, allowed, f"the protection by module {protection.by}")
        return reads

    def _protects(
        self,
        protection: Protection,
        mutation: Mutation,
        writes: Mapping[int, int],
        reads: Mapping[int, Values],
    ) -> bool:
        protected = self.number[protection.variable]
        if mutation.live or protected not in writes:
            return False
        begins = {self.symbol(protected, value) for value in reads.get(protected, ())}
        if protection.leaving and begins and not begins & protection.leaving:
            return False
        return not protection.to or self.symbol(protected, writes[protected]) in protection.to

    def _asks(self, discoveries: Iterable[Discovery]) -> tuple[Ask, ...]:
        return tuple(
            Ask(
                number,
                discovery,
                tuple(sorted(self.number[n] for n in discovery.variables if n in self.number)),
                self.condition(discovery.requires),
                tuple(
                    sorted(
                        {self.number[n] for n in discovery.requires}
                        | {
                            parent
                            for n in discovery.variables
                            if n in self.number
                            for parent, _ in self.guards[self.number[n]]
                        }
                    )
                ),
                self.assignment(discovery.on_timeout),
            )
            for number, discovery in enumerate(sorted(discoveries, key=lambda d: d.name))
        )

    def _outcomes(self) -> tuple[Action, ...]:
        """One optimistic action per variable and outcome of each discovery."""
        found: list[Action] = []
        for ask in self.asks:
            for variable in ask.variables:
                for value in range(1, len(self.values[variable])):
                    reads = {**dict(ask.reads), variable: frozenset([UNKNOWN_VALUE])}
                    for parent, allowed in self.guards[variable]:
                        reads[parent] = reads.get(parent, allowed) & allowed
                    if not all(reads.values()):
                        continue
                    found.append(
                        Action(
                            len(self.actions) + len(found),
                            ask.discovery.name,
                            tuple(sorted(reads.items())),
                            tuple(sorted(self.close({variable: value}).items())),
                            ((variable, value),),
                            1,
                            discovery=ask.number,
                        )
                    )
        return tuple(found)
