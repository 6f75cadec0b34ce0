"""Declaring a module: one readable object feeds the graph, validation, the API, the CLI and the docs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from kedge.core.duty import Duty
from kedge.core.kinds import Kind, Value
from kedge.core.mutation import Discovery, Handler, Mutation, Protection, Symbols, Where
from kedge.core.variable import Relation, Variable

Allowed = Mapping[Variable | str, str | Iterable[str]]
"""A condition as it is written in a declaration: a variable and one symbol, or several."""


Service = Callable[[Any], Awaitable[None]]
"""``async def serve(io)`` with `kedge.modules.port.Io`."""


Action = Callable[[Any, Mapping[str, Value]], Awaitable[Value]]
"""``async def act(io, args)``: a request that concerns no single node; returns what to show."""


def _name(variable: Variable | str) -> str:
    return variable if isinstance(variable, str) else variable.name


def symbols(allowed: Allowed | None) -> Symbols:
    """The canonical form of a written condition."""
    return {
        _name(variable): frozenset([values] if isinstance(values, str) else values)
        for variable, values in (allowed or {}).items()
    }


class Module:
    """What one module adds: variables, discoveries, mutations, protections, services.

    Nothing is checked here but names; `kedge.core.graph` refuses what does not fit together, and
    names both parties.
    """

    def __init__(self, name: str, *, summary: str, version: str = "1") -> None:
        self.name = name
        self.summary = summary
        self.version = version
        self.variables: list[Variable] = []
        self.discoveries: list[Discovery] = []
        self.mutations: list[Mutation] = []
        self.protections: list[Protection] = []
        self.duties: list[Duty] = []
        self.services: list[Service] = []
        self.actions: dict[str, Action] = {}
        self.harmless: set[str] = set()

    def variable(
        self,
        name: str,
        kind: Kind,
        *,
        summary: str = "",
        configured: bool = False,
        default: Value = None,
        relation: Relation | None = None,
        while_: Allowed | None = None,
        initial: str | None = None,
        secret: bool = False,
        wanted_while: Allowed | None = None,
        telling: bool = False,
        by_hand: str = "",
    ) -> Variable:
        """Declare ``<module>.<name>``."""
        variable = Variable(
            f"{self.name}.{name}",
            kind,
            summary,
            configured,
            default,
            relation,
            symbols(while_),
            initial,
            secret,
            symbols(wanted_while),
            telling,
            by_hand,
        )
        self.variables.append(variable)
        return variable

    def discovers(
        self,
        *variables: Variable,
        every_s: float = 0.0,
        timeout_s: float = 30.0,
        requires: Allowed | None = None,
    ) -> Callable[[Handler], Handler]:
        """Decorate ``async def read(node, io)``, which calls ``io.observe`` with what it saw."""

        def declare(handler: Handler) -> Handler:
            self.discoveries.append(
                Discovery(
                    name=f"{self.name}.{handler.__name__}",
                    variables=tuple(_name(variable) for variable in variables),
                    every_s=every_s,
                    timeout_s=timeout_s,
                    requires=symbols(requires),
                    summary=(handler.__doc__ or "").strip(),
                    handler=handler,
                )
            )
            return handler

        return declare

    def listens(
        self,
        *variables: Variable,
        timeout_s: float,
        requires: Allowed | None = None,
        on_timeout: Mapping[Variable | str, str] | None = None,
        name: str = "listen",
        summary: str = "",
    ) -> None:
        """Declare variables that the node itself reports; silence for ``timeout_s`` means something."""
        self.discoveries.append(
            Discovery(
                name=f"{self.name}.{name}",
                variables=tuple(_name(variable) for variable in variables),
                timeout_s=timeout_s,
                requires=symbols(requires),
                on_timeout={_name(v): value for v, value in (on_timeout or {}).items()},
                summary=summary,
            )
        )

    def duty(
        self,
        name: str,
        source: str,
        *,
        reports: Iterable[Variable] = (),
        carries_out: Iterable[Mutation] = (),
        every_s: float = 0.0,
        timeout_s: float = 30.0,
        silent_s: float = 0.0,
        stages: Iterable[str] = ("running",),
        requires: Allowed | None = None,
        on_timeout: Mapping[Variable | str, str] | None = None,
        where_set: Variable | None = None,
        summary: str = "",
    ) -> None:
        """Declare what runs on nodes: ``source`` is the text of a file that needs only the standard
        library. It ``carries_out`` mutations of this module and ``reports`` variables of this module.
        ``where_set`` is a configured variable of this module: nodes without a value have no such duty.

        Nothing heard of these variables for ``silent_s`` (three periods and time-outs, where it is not
        given) while they are needed means ``on_timeout``.
        """
        reported = tuple(reports)
        orders = tuple(mutation.name for mutation in carries_out)
        names = tuple(variable.name for variable in reported)
        only = where_set.name if where_set is not None else ""
        duty = Duty(
            f"{self.name}.{name}", source, names, orders, every_s, timeout_s, tuple(stages), only, summary
        )  # fmt: skip
        self.duties.append(duty)
        if reported:
            self.listens(
                *reported,
                timeout_s=silent_s or 3 * (max(every_s, 10.0) + timeout_s),
                requires=requires,
                on_timeout=on_timeout,
                name=name,
                summary=summary or f"Reported by the duty {duty.name} on the node",
            )

    def edge(
        self,
        name: str,
        effects: Mapping[Variable | str, str],
        *,
        where: Where,
        requires: Allowed | None = None,
        excludes: Allowed | None = None,
        via: Allowed | None = None,
        on_timeout: Mapping[Variable | str, str] | None = None,
        cost_s: int = 1,
        surcharge_s: int = 0,
        timeout_s: float = 60.0,
        destructive: bool = False,
        budgets: tuple[str, ...] = (),
        summary: str = "",
        handler: Handler | None = None,
        live: bool = False,
        hints: Mapping[str, str] | None = None,
    ) -> Mutation:
        """Declare a mutation in full: an order (``where="node"``), a wait, or one with a handler."""
        mutation = Mutation(
            name=f"{self.name}.{name}",
            effects={_name(variable): value for variable, value in effects.items()},
            requires=symbols(requires),
            excludes=symbols(excludes),
            via=symbols(via),
            on_timeout={_name(v): value for v, value in (on_timeout or {}).items()},
            cost_s=cost_s,
            surcharge_s=surcharge_s,
            timeout_s=timeout_s,
            where=where,
            destructive=destructive,
            budgets=budgets,
            summary=summary,
            handler=handler,
            live=live,
            hints=hints or {},
        )
        self.mutations.append(mutation)
        return mutation

    def mutates(
        self,
        variable: Variable,
        before: str | Iterable[str],
        after: str,
        *,
        effects: Mapping[Variable | str, str] | None = None,
        requires: Allowed | None = None,
        excludes: Allowed | None = None,
        via: Allowed | None = None,
        on_timeout: Mapping[Variable | str, str] | None = None,
        cost_s: int = 1,
        surcharge_s: int = 0,
        timeout_s: float = 60.0,
        destructive: bool = False,
        budgets: tuple[str, ...] = (),
        hints: Mapping[str, str] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Decorate ``async def carry_out(node, io)`` as the edge ``before -> after``.

        The handler never reports success: the step is done when discovery shows its effect. It may
        raise `KedgeError` to say that it failed and why.
        """

        def declare(handler: Handler) -> Handler:
            self.edge(
                handler.__name__,
                {variable: after, **(effects or {})},
                where="head",
                requires={variable: before, **(requires or {})},
                excludes=excludes,
                via=via,
                on_timeout=on_timeout,
                cost_s=cost_s,
                surcharge_s=surcharge_s,
                timeout_s=timeout_s,
                destructive=destructive,
                budgets=budgets,
                summary=(handler.__doc__ or "").strip(),
                handler=handler,
                hints=hints,
            )
            return handler

        return declare

    def protects(
        self,
        variable: str,
        requires: Allowed,
        why: str = "",
        *,
        to: str | Iterable[str] = (),
        leaving: str | Iterable[str] = (),
    ) -> None:
        """Demand that whatever changes another module's ``variable`` (``to`` one of some symbols, where
        they are given) also requires ``requires``. Mutations that are ``live`` are left alone, and so
        are those that by their own requirements never begin at a symbol of ``leaving``."""
        values = frozenset([to] if isinstance(to, str) else to)
        left = frozenset([leaving] if isinstance(leaving, str) else leaving)
        self.protections.append(
            Protection(variable, symbols(requires), self.name, why, values, left)
        )

    def service(self, run: Service) -> Service:
        """Decorate ``async def serve(io)``: work that lasts as long as the master, supervised by it."""
        self.services.append(run)
        return run

    def action(self, name: str, *, harmless: bool = False) -> Callable[[Action], Action]:
        """Decorate ``async def act(io, args)``: a verb of the module's own (``image import``), which
        the API offers to people. It must check its ``args``. A ``harmless`` one only looks."""

        def declare(act: Action) -> Action:
            self.actions[name] = act
            if harmless:
                self.harmless.add(name)
            return act

        return declare
