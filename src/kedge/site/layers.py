"""Reads one section's own words (a profile, a group, a node, the cluster) into a `Layer`.

Layers are what the site resolves: each value is kept with its origin, texts are compiled to
patterns, and whatever is the same for all nodes is checked here, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from kedge.core.kinds import Anything, Integer, Kind, ListOf, Struct, Text, ValueProblem
from kedge.core.variable import Variable
from kedge.site import words
from kedge.site.hostfiles import Overlays, read_files
from kedge.site.model import FileTemplate, Origin
from kedge.site.patterns import NODE_NAMES, PatternProblem, Template, compile_text, is_fixed
from kedge.site.problems import Place, Problems, listed, shorten
from kedge.site.tree import Items, Scalar, Table, Tree

Path = tuple[str, ...]
"""A variable's name, and the keys within its `Struct`."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One written value: its template, whether it is the same for all nodes, and its origin."""

    template: Template
    fixed: bool
    origin: Origin

    @property
    def place(self) -> Place:
        """Where it is written."""
        return Place(self.origin.file, self.origin.line)


@dataclass(slots=True)
class Layer:
    """What one section says about its nodes."""

    name: str
    place: Place
    values: dict[Path, Leaf] = field(default_factory=dict[Path, Leaf])
    vars: dict[str, Leaf] = field(default_factory=dict[str, Leaf])
    addresses: dict[str, Leaf] = field(default_factory=dict[str, Leaf])
    files: dict[str, FileTemplate] = field(default_factory=dict[str, FileTemplate])
    hold: Leaf | None = None
    profiles: tuple[str, ...] | None = None

    def origin(self, place: Place) -> Origin:
        """The origin of something that this layer writes at ``place``."""
        return Origin(self.name, place.file, place.line)


@dataclass(frozen=True, slots=True)
class Reader:
    """What is needed to read any layer."""

    variables: Mapping[str, Variable]
    networks: Iterable[str]
    overlays: Overlays
    problems: Problems

    def layer(
        self, name: str, tree: Tree, place: Place, keys: tuple[str, ...]
    ) -> tuple[Layer, dict[str, Tree]]:
        """The layer in ``tree``, and those of ``keys`` that the section itself must read."""
        layer = Layer(name, place)
        rest: dict[str, Tree] = {}
        if not isinstance(tree, Table):
            if not (isinstance(tree, Scalar) and tree.value is None):
                self.problems.refuse("not_a_mapping", tree.place, f"{name} must be a mapping")
            return layer, rest
        values: dict[str, Tree] = {}
        for key, value in tree.entries.items():
            if key not in keys:
                values[key] = value
            elif key == "vars":
                self._vars(layer, value)
            elif key == "addresses":
                self._addresses(layer, value)
            elif key == "files":
                layer.files.update(read_files(value, name, self.overlays, self.problems))
            elif key == "hold":
                layer.hold = self.text(layer, value, "hold")
            else:
                rest[key] = value
        if "overlays" in rest:
            attached = self.overlays.attach(rest.pop("overlays"), self.problems)
            layer.files = {**attached, **layer.files}
        assign = _Assign(self, layer, keys)
        for key, value in values.items():
            assign.key(key, value, tree.keys[key])
        return layer, rest

    def text(self, layer: Layer, tree: Tree, what: str) -> Leaf | None:
        """A line of text that may be a pattern."""
        if not isinstance(tree, Scalar) or not isinstance(tree.value, str) or not tree.value:
            self.problems.refuse(
                "not_a_text",
                tree.place,
                f"{what} must be a text",
                next_step='Write the reason: hold: "broken fan, ticket 4711"'
                if what == "hold"
                else "",
            )
            return None
        return self.leaf(layer, tree, Text(), what)

    def leaf(self, layer: Layer, tree: Tree, kind: Kind, what: str) -> Leaf | None:
        """A value of one kind: compiled, and checked when it is the same for all nodes."""
        if isinstance(tree, Scalar) and tree.value is None:
            self.problems.refuse(
                "no_value", tree.place, f"{what} has no value", next_step=f"Give {kind.describe()}"
            )
            return None
        if words.find_secret(tree) is not None:
            self.refuse_secret(tree.place, what)
            return None
        try:
            template = compile_tree(tree, kind)
            fixed = is_fixed(template)
            if fixed:
                template = cast(Template, kind.check(template))
        except PatternProblem as problem:
            self.problems.refuse("pattern", tree.place, f"{what}: {problem}")
            return None
        except ValueProblem as problem:
            refuse_value(self.problems, tree.place, what, problem)
            return None
        return Leaf(template, fixed, layer.origin(tree.place))

    def refuse_secret(self, place: Place, what: str) -> None:
        """Refuse a secret that is written out, without repeating it."""
        self.problems.refuse(
            "secret_inline",
            place,
            f"{what} holds a secret; a site only names secrets",
            next_step="Put it into secrets.yaml of the state directory and write its name here",
        )

    def _vars(self, layer: Layer, tree: Tree) -> None:
        for key, value, _ in entries(tree, f"{layer.name}: vars", self.problems):
            if not words.ATTRIBUTE.fullmatch(key):
                self.problems.refuse(
                    "bad_name",
                    value.place,
                    f"{shorten(key, 80)!r} is no name for a var",
                    next_step="Use small letters, digits and _, like rack",
                )
            elif key in NODE_NAMES:
                self.problems.refuse(
                    "bad_name",
                    value.place,
                    f"vars.{key} would hide what every node has",
                    next_step=f"Choose another name than {listed(NODE_NAMES)}",
                )
            elif words.is_secret_key(key):
                self.refuse_secret(value.place, f"vars.{key}")
            elif leaf := self.leaf(layer, value, Anything(), f"vars.{key}"):
                layer.vars[key] = leaf

    def _addresses(self, layer: Layer, tree: Tree) -> None:
        for key, value, _ in entries(tree, f"{layer.name}: addresses", self.problems):
            if key not in self.networks:
                self.problems.unknown("unknown_network", value.place, "network", key, self.networks)
            elif leaf := self.text(layer, value, f"addresses.{key}"):
                layer.addresses[key] = leaf


def refuse_value(problems: Problems, place: Place, what: str, problem: ValueProblem) -> None:
    """Refuse a value as its kind does."""
    full = f"{what}.{problem.key}" if problem.key else what
    problems.refuse(
        "bad_value",
        place,
        f"{full}: {shorten(problem.what)}",
        next_step=f"Give {problem.valid}",
    )


def entries(tree: Tree, what: str, problems: Problems) -> Iterable[tuple[str, Tree, Place]]:
    """Key, value and the key's place; an empty value has none, anything else is refused."""
    if isinstance(tree, Table):
        return [(key, value, tree.keys[key]) for key, value in tree.entries.items()]
    if not (isinstance(tree, Scalar) and tree.value is None):
        problems.refuse("not_a_mapping", tree.place, f"{what} must be a mapping")
    return ()


def compile_tree(tree: Tree, kind: Kind) -> Template:
    """The template of a value; numbers stay as they are written where a text is wanted."""
    if isinstance(tree, Scalar):
        wants_text = not isinstance(kind, (Integer, Anything))
        if isinstance(tree.value, str):
            return compile_text(tree.value, as_text=wants_text)
        number = isinstance(tree.value, (int, float)) and not isinstance(tree.value, bool)
        if number and (isinstance(kind, Text) or isinstance(tree.value, float)):
            return tree.raw
        return tree.value
    if isinstance(tree, Items):
        item = kind.item if isinstance(kind, ListOf) else Anything()
        return [compile_tree(each, item) for each in tree.items]
    fields: Mapping[str, Kind] = kind.fields if isinstance(kind, Struct) else {}
    return {
        key: compile_tree(value, fields.get(key, Anything())) for key, value in tree.entries.items()
    }


class _Assign:
    """Puts the variables of one section into its layer: ``power.state`` and ``power: {state: ...}``."""

    def __init__(self, reader: Reader, layer: Layer, keys: tuple[str, ...]) -> None:
        self.reader = reader
        self.problems = reader.problems
        self.layer = layer
        self.keys = keys
        self.modules = {name.partition(".")[0] for name in reader.variables}

    def key(self, key: str, tree: Tree, place: Place) -> None:
        """One key of a section: a variable, a key within one, or a module with its variables."""
        parts = key.split(".")
        name = ".".join(parts[:2])
        variable = self.reader.variables.get(name)
        if variable is not None:
            self._variable(variable, tuple(parts[2:]), tree, place)
        elif len(parts) == 1 and key in self.modules:
            if isinstance(tree, Table):
                for inner, value in tree.entries.items():
                    self.key(f"{key}.{inner}", value, tree.keys[inner])
            else:
                self.problems.refuse(
                    "not_a_mapping", place, f"{key} is a module and must be a mapping"
                )
        else:
            self._unknown(key, parts, place)

    def _unknown(self, key: str, parts: list[str], place: Place) -> None:
        settable = [v.name for v in self.reader.variables.values() if v.configured]
        if len(parts) == 1:
            valid = [*self.keys, *settable]
            self.problems.unknown("unknown_key", place, "key", key, valid)
        else:
            self.problems.unknown("unknown_variable", place, "variable", key, settable)

    def _variable(self, variable: Variable, path: Path, tree: Tree, place: Place) -> None:
        if not variable.configured:
            settable = [v.name for v in self.reader.variables.values() if v.configured]
            self.problems.refuse(
                "not_configurable",
                place,
                f"{variable.name} is only discovered and cannot be set",
                next_step=f"Valid: {listed(settable)}",
            )
        elif variable.secret:
            self.reader.refuse_secret(place, variable.name)
        else:
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
        if words.is_secret_key(key):
            self.reader.refuse_secret(place, f"{'.'.join(path)}.{key}")
            return
        valid = list(kind.fields) if isinstance(kind, Struct) else []
        self.problems.unknown(
            "unknown_key",
            place,
            f"key of {'.'.join(path)}:",
            key,
            valid,
            next_step="" if valid else "It has no keys",
        )

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
            self.reader.refuse_secret(place, what)
            return
        earlier = self.layer.values.get(path)
        if earlier is not None:
            self.problems.refuse(
                "duplicate_key",
                place,
                f"{what} is given twice, first in line {earlier.origin.line}",
                next_step="Remove one",
            )
        elif leaf := self.reader.leaf(self.layer, tree, kind, what):
            self.layer.values[path] = leaf
