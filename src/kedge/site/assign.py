"""Puts the variables of one section into its layer: ``power.state: on`` and ``power: {state: on}``."""

from __future__ import annotations

from collections.abc import Mapping

from kedge.core.kinds import Kind, Struct
from kedge.core.variable import Variable
from kedge.site import words
from kedge.site.leaves import Layer, Path, read_leaf, refuse_secret
from kedge.site.problems import Place, Problems, listed
from kedge.site.tree import Scalar, Table, Tree


class Assign:
    """The variables that one section may set; every key of every `Struct` becomes a leaf."""

    def __init__(
        self,
        variables: Mapping[str, Variable],
        layer: Layer,
        keys: tuple[str, ...],
        problems: Problems,
    ) -> None:
        self.variables = variables
        self.layer = layer
        self.keys = keys
        self.problems = problems

    def key(self, key: str, tree: Tree, place: Place) -> None:
        """One key of a section: a variable, a key within one, or a module with its variables."""
        parts = key.split(".")
        variable = self.variables.get(".".join(parts[:2]))
        if variable is not None:
            self._variable(variable, tuple(parts[2:]), tree, place)
        elif len(parts) == 1 and any(v.module == key for v in self.variables.values()):
            if isinstance(tree, Table):
                for inner, value in tree.entries.items():
                    self.key(f"{key}.{inner}", value, tree.keys[inner])
            else:
                what = f"{key} is a module and must be a mapping"
                self.problems.refuse("not_a_mapping", place, what)
        elif len(parts) == 1:
            valid = [*self.keys, *self._settable()]
            self.problems.unknown("unknown_key", place, "key", key, valid)
        else:
            self.problems.unknown("unknown_variable", place, "variable", key, self._settable())

    def _settable(self) -> list[str]:
        return [variable.name for variable in self.variables.values() if variable.configured]

    def _variable(self, variable: Variable, path: Path, tree: Tree, place: Place) -> None:
        if not variable.configured:
            self.problems.refuse(
                "not_configurable",
                place,
                f"{variable.name} is only discovered and cannot be set",
                next_step=f"Valid: {listed(self._settable())}",
            )
            return
        if variable.secret:
            refuse_secret(self.problems, place, variable.name)
            return
        kind: Kind = variable.kind
        walked: Path = (variable.name,)
        for key in path:
            if not isinstance(kind, Struct) or key not in kind.fields:
                self._unknown_field(walked, key, kind, place)
                return
            kind = kind.fields[key]
            walked = (*walked, key)
        self._value(walked, kind, tree, place)

    def _unknown_field(self, path: Path, key: str, kind: Kind, place: Place) -> None:
        whole = ".".join(path)
        if words.is_secret_key(key):
            refuse_secret(self.problems, place, f"{whole}.{key}")
            return
        valid = list(kind.fields) if isinstance(kind, Struct) else []
        none = "" if valid else f"{whole} has no keys"
        self.problems.unknown("unknown_key", place, f"key of {whole}:", key, valid, next_step=none)

    def _value(self, path: Path, kind: Kind, tree: Tree, place: Place) -> None:
        if isinstance(kind, Struct) and isinstance(tree, Table) and tree.entries:
            for key, value in tree.entries.items():
                inner = kind.fields.get(key)
                if inner is None:
                    self._unknown_field(path, key, kind, tree.keys[key])
                else:
                    self._value((*path, key), inner, value, tree.keys[key])
            return
        what = ".".join(path)
        if path[-1] == "credentials" and not isinstance(tree, Scalar):
            refuse_secret(self.problems, place, what)
            return
        earlier = self.layer.values.get(path)
        if earlier is not None:
            self.problems.refuse(
                "duplicate_key",
                place,
                f"{what} is given twice, first in line {earlier.origin.line}",
                next_step="Remove one",
            )
        elif leaf := read_leaf(self.layer, tree, kind, what, self.problems):
            self.layer.values[path] = leaf
