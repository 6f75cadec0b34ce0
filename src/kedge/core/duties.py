"""What modules declare of their duties, checked: a duty speaks for its own module, and for no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kedge.core.duty import Duty
from kedge.core.module import Module
from kedge.lib.errors import KedgeError


def check_duties(modules: Sequence[Module]) -> Iterator[KedgeError]:
    """Yield an error for every misfit."""
    carried: dict[str, str] = {}
    for module in modules:
        for duty in module.duties:
            yield from (_error(duty, what, why) for what, why in duty.problems())
            yield from _own(module, duty)
            for name in duty.orders:
                if name in carried:
                    why = f"{carried[name]} does so too"
                    yield _error(duty, f"carries out {name}, which only one duty may", why)
                carried[name] = duty.name


def _own(module: Module, duty: Duty) -> Iterator[KedgeError]:
    variables = {variable.name for variable in module.variables}
    on_node = {mutation.name for mutation in module.mutations if mutation.where == "node"}
    for name in duty.reports:
        if name not in variables:
            yield _error(
                duty, f"reports {name}, which module {module.name} does not declare",
                "a duty reports variables of its own module only",
            )  # fmt: skip
    if duty.where_set and not any(
        v.name == duty.where_set and v.configured for v in module.variables
    ):
        yield _error(
            duty, f"is for nodes that have {duty.where_set}, which module {module.name} does not configure",
            "it must be a configured variable of its own module",
        )  # fmt: skip
    for name in duty.orders:
        if name not in on_node:
            yield _error(
                duty, f"carries out {name}, which is no mutation of module {module.name} on nodes",
                'it needs where="node"',
            )  # fmt: skip


def _error(duty: Duty, what: str, why: str) -> KedgeError:
    return KedgeError("graph.duty", what, where=f"duty {duty.name}", why=why)
