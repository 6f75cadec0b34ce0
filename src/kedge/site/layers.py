"""Reads one section's own words (a profile, a group, a node, the cluster) into a `Layer`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kedge.core.kinds import Anything, Text
from kedge.core.variable import Variable
from kedge.site import words
from kedge.site.assign import Assign
from kedge.site.hostfiles import Overlays, read_files
from kedge.site.leaves import Layer, Leaf, entries, read_leaf, refuse_secret
from kedge.site.patterns import NODE_NAMES
from kedge.site.problems import Place, Problems, listed, shorten
from kedge.site.tree import Scalar, Table, Tree


@dataclass(frozen=True, slots=True)
class Reader:
    """What is needed to read any layer."""

    variables: Mapping[str, Variable]
    networks: Collection[str]
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
        assign = Assign(self.variables, layer, keys, self.problems)
        for key, value in tree.entries.items():
            if key not in keys:
                assign.key(key, value, tree.keys[key])
            elif key == "vars":
                self._vars(layer, value)
            elif key == "addresses":
                self._addresses(layer, value)
            elif key == "files":
                layer.files.update(read_files(value, name, self.overlays, self.problems))
            elif key == "hold":
                layer.hold = self._text(layer, value, "hold", 'hold: "broken fan, ticket 4711"')
            else:
                rest[key] = value
        if "overlays" in rest:
            attached = self.overlays.attach(rest.pop("overlays"), self.problems)
            layer.files = {**attached, **layer.files}
        return layer, rest

    def _text(self, layer: Layer, tree: Tree, what: str, example: str) -> Leaf | None:
        """A line of text that may be a pattern."""
        if isinstance(tree, Scalar) and isinstance(tree.value, str) and tree.value:
            return read_leaf(layer, tree, Text(), what, self.problems)
        self.problems.refuse(
            "not_a_text", tree.place, f"{what} must be a text", next_step=f"Write it like {example}"
        )
        return None

    def _vars(self, layer: Layer, tree: Tree) -> None:
        for key, value, place in entries(tree, f"{layer.name}: vars", self.problems):
            if not words.ATTRIBUTE.fullmatch(key):
                self.problems.refuse(
                    "bad_name",
                    place,
                    f"{shorten(key, 80)!r} is no name for a var",
                    next_step="Use small letters, digits and _, like rack",
                )
            elif key in NODE_NAMES:
                self.problems.refuse(
                    "bad_name",
                    place,
                    f"vars.{key} would hide what every node has",
                    next_step=f"Choose another name than {listed(NODE_NAMES)}",
                )
            elif words.is_secret_key(key):
                refuse_secret(self.problems, place, f"vars.{key}")
            elif leaf := read_leaf(layer, value, Anything(), f"vars.{key}", self.problems):
                layer.vars[key] = leaf

    def _addresses(self, layer: Layer, tree: Tree) -> None:
        for key, value, place in entries(tree, f"{layer.name}: addresses", self.problems):
            if key not in self.networks:
                self.problems.unknown("unknown_network", place, "network", key, self.networks)
            elif leaf := self._text(layer, value, f"addresses.{key}", '"10.77.{rack}.{index}"'):
                layer.addresses[key] = leaf
