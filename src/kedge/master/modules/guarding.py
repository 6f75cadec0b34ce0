"""Relations of modules, guarded: one that raises makes its own variable unknown, whatever it raises.

The engine's floor is pure and calls them in the middle of an observation, so nothing may come out of
them but a symbol.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from kedge.core.kinds import Value
from kedge.core.module import Module
from kedge.core.variable import Relation, Variable
from kedge.lib.errors import KedgeError
from kedge.master.process.supervisor import attempt

Note = Callable[[str, str, str], None]
"""Hears which module did what, in words."""


def guarded(module: Module, note: Note) -> Module:
    """The same module, whose relations raise nothing."""
    if not any(variable.relation for variable in module.variables):
        return module
    made = copy.copy(module)
    made.variables = [_guarded(variable, note) for variable in module.variables]
    return made


def _guarded(variable: Variable, note: Note) -> Variable:
    relation = variable.relation
    if relation is None:
        return variable
    of = partial(_related, variable, relation, note, set[str]())
    return replace(variable, relation=replace(relation, of=of))


def _related(
    variable: Variable,
    relation: Relation,
    note: Note,
    known: set[str],
    discovered: Value,
    configured: Value,
) -> str:
    """``known`` are the errors that were logged already."""
    found = attempt(partial(relation.of, discovered, configured), quietly=bool(known))
    if not isinstance(found, KedgeError):
        return found
    known.add(found.what)
    note(variable.module, "raised", f"the relation of {variable.name}: {found.what}")
    return ""
