"""What modules declare, checked together: every misfit is refused, and both parties are named.

A module alone cannot be wrong about another's names; only the set of all modules can. Each check is
one function that yields errors, so that a person sees all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kedge.core.duties import check_duties
from kedge.core.module import Module
from kedge.core.mutation import Discovery, Mutation, Symbols
from kedge.core.variable import UNKNOWN, Variable
from kedge.lib.errors import KedgeError, KedgeErrors
from kedge.lib.nearest import nearest


def check(modules: Sequence[Module]) -> None:
    """Raise one `KedgeError` (or several together) when the declarations do not fit."""
    errors = list(_names(modules))
    if not errors:
        variables = {v.name: v for m in modules for v in m.variables}
        errors = [
            *_domains(variables),
            *_guards(variables),
            *_relations(variables),
            *_references(modules, variables),
            *_discoverers(modules, variables),
            *check_duties(modules),
        ]
        if not errors:
            errors = list(_cycles(variables))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise KedgeErrors(errors)


def _error(code: str, what: str, where: str, why: str = "") -> KedgeError:
    return KedgeError(f"graph.{code}", what, where=where, why=why)


def _names(modules: Sequence[Module]) -> Iterator[KedgeError]:
    seen: dict[tuple[str, str], str] = {}
    declared = [
        *(("module", m.name, m.name) for m in modules),
        *(("variable", v.name, m.name) for m in modules for v in m.variables),
        *(("edge", x.name, m.name) for m in modules for x in (*m.mutations, *m.discoveries)),
        *(("duty", d.name, m.name) for m in modules for d in m.duties),
    ]
    for sort, name, module in declared:
        if (sort, name) in seen:
            other = seen[sort, name]
            yield _error("twice", f"{sort} {name} is declared twice", f"modules {other}, {module}")
        seen[sort, name] = module


def _domains(variables: Mapping[str, Variable]) -> Iterator[KedgeError]:
    for variable in variables.values():
        twice = sorted({s for s in variable.domain if variable.domain.count(s) > 1})
        if twice:
            yield _error("twice", f"has the symbol {', '.join(twice)} twice", variable.name)


def _guards(variables: Mapping[str, Variable]) -> Iterator[KedgeError]:
    for variable in variables.values():
        if variable.while_ and not variable.planned:
            yield _error(
                "unplanned_while", "while_ needs an Enum or a relation, to fall back", variable.name
            )
        yield from _symbols(f"{variable.name} (while_)", variable.while_, variables)
        yield from _symbols(f"{variable.name} (wanted_while)", variable.wanted_while, variables)
        if variable.initial is not None and variable.initial not in variable.domain:
            yield _error(
                "unknown_symbol",
                f"initial {variable.initial!r} is not one of {', '.join(variable.domain)}",
                variable.name,
            )


def _relations(variables: Mapping[str, Variable]) -> Iterator[KedgeError]:
    for variable in variables.values():
        relation = variable.relation
        if relation is None:
            continue
        to = variables.get(relation.to)
        if to is None or not to.configured:
            yield _error(
                "unknown_variable",
                f"its relation is to {relation.to}, which is not a configured variable",
                variable.name,
            )
        if relation.goal not in relation.values or UNKNOWN in relation.values:
            yield _error(
                "relation",
                f"the goal {relation.goal!r} must be one of its values, and unknown must not",
                variable.name,
            )


def _symbols(
    where: str, allowed: Mapping[str, Iterable[str]], variables: Mapping[str, Variable]
) -> Iterator[KedgeError]:
    for name, symbols in allowed.items():
        variable = variables.get(name)
        if variable is None:
            hint = nearest(name, variables)
            yield _error(
                "unknown_variable",
                f"names the variable {name}, which no module declares",
                where,
                f"did you mean {hint}?" if hint else "",
            )
            continue
        if not variable.planned:
            yield _error(
                "unplanned",
                f"{name} is not an Enum and has no relation: it cannot be planned",
                where,
            )
            continue
        for symbol in sorted(set(symbols) - set(variable.domain)):
            yield _error(
                "unknown_symbol",
                f"names {name}={symbol}",
                where,
                f"valid: {', '.join(variable.domain)}",
            )


def _one(values: Mapping[str, str]) -> Symbols:
    return {name: frozenset([value]) for name, value in values.items()}


def _references(
    modules: Sequence[Module], variables: Mapping[str, Variable]
) -> Iterator[KedgeError]:
    for module in modules:
        for mutation in module.mutations:
            yield from _mutation(mutation, variables)
        for discovery in module.discoveries:
            where = f"discovery {discovery.name}"
            for name in discovery.variables:
                if name not in variables:
                    yield from _symbols(where, {name: ()}, variables)
            yield from _symbols(f"{where} (requires)", discovery.requires, variables)
            yield from _symbols(f"{where} (on_timeout)", _one(discovery.on_timeout), variables)
            for name in sorted(set(discovery.on_timeout) - set(discovery.variables)):
                yield _error(
                    "on_timeout", f"on_timeout sets {name}, which it does not discover", where
                )
        for protection in module.protections:
            where = f"module {module.name} (protects)"
            named = protection.to | protection.leaving
            yield from _symbols(where, {protection.variable: named}, variables)
            yield from _symbols(where, protection.requires, variables)


def _mutation(mutation: Mutation, variables: Mapping[str, Variable]) -> Iterator[KedgeError]:
    where = f"mutation {mutation.name}"
    for part, allowed in (
        ("effects", _one(mutation.effects)),
        ("requires", mutation.requires),
        ("excludes", mutation.excludes),
        ("via", mutation.via),
        ("on_timeout", _one(mutation.on_timeout)),
    ):
        yield from _symbols(f"{where} ({part})", allowed, variables)
    if not mutation.effects:
        yield _error("no_effect", "has no effect", where)
    for name, symbol in mutation.effects.items():
        if symbol == UNKNOWN:
            yield _error("unknown_effect", f"sets {name} to unknown, which is no state", where)
    if mutation.live and mutation.destructive:
        yield _error("live", "is live and destructive at once", where)
    if mutation.cost_s < 1:
        yield _error("cost", f"costs {mutation.cost_s}, but the least is 1", where)
    if mutation.surcharge_s < 0:
        yield _error("cost", f"has the surcharge {mutation.surcharge_s}; the least is 0", where)


def _discoverers(
    modules: Sequence[Module], variables: Mapping[str, Variable]
) -> Iterator[KedgeError]:
    by: dict[str, Discovery] = {}
    for module in modules:
        for discovery in module.discoveries:
            for name in discovery.variables:
                if name in by:
                    yield _error(
                        "two_discoverers",
                        f"{name} is discovered twice",
                        f"discoveries {by[name].name}, {discovery.name}",
                        "only one may say what it is",
                    )
                by[name] = discovery
    for module in modules:
        for mutation in module.mutations:
            for name in sorted(set(mutation.effects) - set(by)):
                if name in variables:
                    yield _error(
                        "undiscovered",
                        f"changes {name}, which nobody discovers",
                        f"mutation {mutation.name}, variable {name}",
                        "its end could never be noticed",
                    )


def _cycles(variables: Mapping[str, Variable]) -> Iterator[KedgeError]:
    settled: set[str] = set()
    for start in sorted(variables):
        path: list[str] = []
        name = start
        stack = [(start, iter(sorted(variables[start].while_)))]
        path.append(start)
        while stack and start not in settled:
            name, parents = stack[-1]
            parent = next(parents, None)
            if parent is None:
                settled.add(name)
                stack.pop()
                path.pop()
            elif parent in path:
                loop = [*path[path.index(parent) :], parent]
                yield _error(
                    "while_cycle", "while_ rules form a cycle: " + " -> ".join(loop), parent
                )
                return
            elif parent not in settled:
                stack.append((parent, iter(sorted(variables[parent].while_))))
                path.append(parent)
