"""Written values: each is compiled, checked where it is the same for all nodes, and keeps its origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from kedge.core.kinds import Anything, Integer, Kind, ListOf, Struct, Text, ValueProblem
from kedge.site import words
from kedge.site.model import FileTemplate, Origin
from kedge.site.patterns import PatternProblem, Template, compile_text, is_fixed, names_in
from kedge.site.problems import Place, Problems, shorten
from kedge.site.tree import Items, Scalar, Table, Tree

Path = tuple[str, ...]
"""A variable's name, and the keys within its `Struct`."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One written value: its template, whether it is the same for all nodes, the names that its
    patterns use, and its origin."""

    template: Template
    fixed: bool
    origin: Origin
    names: frozenset[str] = frozenset()

    @property
    def place(self) -> Place:
        """Where it is written."""
        return Place(self.origin.file, self.origin.line)


@dataclass(slots=True)
class Layer:
    """What one section (a profile, a group, a node, the cluster) says about its nodes."""

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


def read_leaf(layer: Layer, tree: Tree, kind: Kind, what: str, problems: Problems) -> Leaf | None:
    """A value of one kind, or None when it was refused."""
    if isinstance(tree, Scalar) and tree.value is None:
        problems.refuse(
            "no_value", tree.place, f"{what} has no value", next_step=f"Give {kind.describe()}"
        )
        return None
    if words.find_secret(tree) is not None:
        refuse_secret(problems, tree.place, what)
        return None
    try:
        template = compile_tree(tree, kind)
        fixed = is_fixed(template)
        if fixed:
            template = cast(Template, kind.check(template))
    except PatternProblem as problem:
        problems.refuse("pattern", tree.place, f"{what}: {problem}")
        return None
    except ValueProblem as problem:
        refuse_value(problems, tree.place, what, problem)
        return None
    names = frozenset[str]() if fixed else names_in(template)
    return Leaf(template, fixed, layer.origin(tree.place), names)


def refuse_secret(problems: Problems, place: Place, what: str) -> None:
    """Refuse a secret that is written out, without repeating it."""
    problems.refuse(
        "secret_inline",
        place,
        f"{what} holds a secret; a site only names secrets",
        next_step="Put it into secrets.yaml of the state directory and write its name here",
    )


def refuse_value(problems: Problems, place: Place, what: str, problem: ValueProblem) -> None:
    """Refuse a value as its kind does."""
    full = f"{what}.{problem.key}" if problem.key else what
    problems.refuse(
        "bad_value", place, f"{full}: {shorten(problem.what)}", next_step=f"Give {problem.valid}"
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
