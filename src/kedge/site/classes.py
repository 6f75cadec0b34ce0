"""Merges the layers of a class of nodes once, and checks what all its nodes share.

Precedence, lowest first: cluster, profiles in their order (what they extend before them), group,
entries of ``nodes:`` (those of more nodes first).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Value, ValueProblem
from kedge.core.variable import Variable
from kedge.site.draft import Draft, GroupDraft
from kedge.site.leaves import Layer, Leaf, Path, refuse_value
from kedge.site.model import FileTemplate, Origin
from kedge.site.patterns import NODE_NAMES, expand
from kedge.site.problems import Place, Problems, listed
from kedge.site.words import PROVISION


@dataclass(slots=True)
class NodeClass:
    """What all nodes of a class have in common, and the patterns that tell them apart."""

    place: Place
    fixed: dict[str, Value] = field(default_factory=dict[str, Value])
    varying: dict[str, dict[Path, Leaf]] = field(default_factory=dict[str, dict[Path, Leaf]])
    vars: dict[str, Leaf] = field(default_factory=dict[str, Leaf])
    addresses: dict[str, Leaf] = field(default_factory=dict[str, Leaf])
    addressed: bool = True
    hold: Leaf | None = None
    profiles: tuple[str, ...] = ()
    files: tuple[FileTemplate, ...] = ()
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])


@dataclass(slots=True)
class _Merged:
    """The layers below the entries of ``nodes:``, which many classes share."""

    values: dict[str, dict[Path, Leaf]] = field(default_factory=dict[str, dict[Path, Leaf]])
    vars: dict[str, Leaf] = field(default_factory=dict[str, Leaf])
    addresses: dict[str, Leaf] = field(default_factory=dict[str, Leaf])
    files: dict[str, FileTemplate] = field(default_factory=dict[str, FileTemplate])
    hold: Leaf | None = None
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])

    def copy(self) -> _Merged:
        return _Merged(
            {name: dict(leaves) for name, leaves in self.values.items()},
            dict(self.vars),
            dict(self.addresses),
            dict(self.files),
            self.hold,
            dict(self.origins),
        )

    def put(self, layer: Layer) -> None:
        """Lay ``layer`` on top."""
        for path, leaf in layer.values.items():
            self.values.setdefault(path[0], {})[path] = leaf
            self.origins[path[0]] = leaf.origin
            self.origins[".".join(path)] = leaf.origin
        self.vars.update(layer.vars)
        self.addresses.update(layer.addresses)
        self.files.update(layer.files)
        for name, leaf in layer.vars.items():
            self.origins[f"vars.{name}"] = leaf.origin
        for name, leaf in layer.addresses.items():
            self.origins[f"addresses.{name}"] = leaf.origin
        for path, file in layer.files.items():
            self.origins[f"files.{path}"] = file.origin
        if layer.hold:
            self.hold = layer.hold
            self.origins["hold"] = layer.hold.origin


def assemble(leaves: Mapping[Path, Value]) -> Value:
    """One variable's value from its parts: ``("power.bmc", "address")`` goes into a mapping."""
    if len(leaves) == 1:
        path, value = next(iter(leaves.items()))
        if len(path) == 1:
            return value
    whole: dict[str, Value] = {}
    for path, value in leaves.items():
        inner = whole
        for key in path[1:-1]:
            below = inner.setdefault(key, {})
            if not isinstance(below, dict):
                below = inner[key] = {}
            inner = below
        if len(path) > 1:
            inner[path[-1]] = value
    return whole


class Classes:
    """Makes classes; what several of them share is merged and checked only once."""

    def __init__(self, draft: Draft, variables: Mapping[str, Variable], problems: Problems) -> None:
        self.draft = draft
        self.variables = variables
        self.problems = problems
        self._whole = not problems
        self._bases: dict[tuple[str, tuple[str, ...]], _Merged] = {}
        self._checked: dict[tuple[int, ...], Value] = {}

    def of(self, group: GroupDraft, entries: Iterable[int]) -> NodeClass:
        """The class of the group's nodes that exactly these entries speak of."""
        above = [self.draft.entries[i].layer for i in entries]
        profiles, source = group.layer.profiles or (), group.layer
        for layer in above:
            if layer.profiles is not None:
                profiles, source = layer.profiles, layer
        merged = self._base(group, profiles)
        if above:
            merged = merged.copy()
            for layer in above:
                merged.put(layer)
        found = NodeClass(group.layer.place, profiles=profiles, hold=merged.hold)
        found.addresses = dict(merged.addresses)
        found.addressed = PROVISION in merged.addresses
        found.files = tuple(merged.files[path] for path in sorted(merged.files))
        found.origins = {
            **merged.origins,
            "group": group.layer.origin(group.layer.place),
            "profiles": source.origin(source.place),
        }
        self._split(found, merged, group)
        return found

    def _base(self, group: GroupDraft, profiles: tuple[str, ...]) -> _Merged:
        merged = self._bases.get((group.name, profiles))
        if merged is None:
            order: dict[str, None] = {}
            for name in profiles:
                order.update(dict.fromkeys(self.draft.chains.get(name, (name,))))
            merged = self._bases[group.name, profiles] = _Merged()
            merged.put(self.draft.base)
            for name in order:
                merged.put(self.draft.profiles[name])
            merged.put(group.layer)
        return merged

    def _split(self, found: NodeClass, merged: _Merged, group: GroupDraft) -> None:
        """Tell what is the same for all nodes from what must be expanded for each."""
        known = frozenset((*NODE_NAMES, *merged.vars))
        found.vars = self._ordered(merged.vars, known)
        for name, leaves in merged.values.items():
            if all(leaf.fixed for leaf in leaves.values()):
                found.fixed[name] = self._shared(name, leaves)
            elif self._known({".".join(path): leaf for path, leaf in leaves.items()}, known, group):
                found.varying[name] = leaves
        for name, leaf in merged.addresses.items():
            if not self._known({f"addresses.{name}": leaf}, known, group):
                del found.addresses[name]
        if found.hold and not self._known({"hold": found.hold}, known, group):
            found.hold = None

    def _known(self, leaves: Mapping[str, Leaf], known: frozenset[str], group: GroupDraft) -> bool:
        """Whether the nodes have every name that these patterns use."""
        good = True
        for what, leaf in leaves.items():
            if leaf.fixed:
                continue
            for name in sorted(leaf.names - known):
                good = False
                near = self.problems.nearest(name, sorted(known))
                hint = f"Did you mean {{{near}}}? " if near else ""
                self.problems.refuse_node(
                    "unknown_name",
                    leaf.place,
                    group.nodes[0],
                    f"{what}: the nodes of group {group.name} have no {{{name}}}",
                    next_step=f"{hint}Valid: {listed(known)}; or give it under vars",
                )
        return good

    def _ordered(self, site_vars: Mapping[str, Leaf], known: frozenset[str]) -> dict[str, Leaf]:
        """The vars in an order in which each one's names come before it."""
        order: dict[str, Leaf] = {}
        done: set[str] = set(NODE_NAMES)
        waiting = dict(site_vars)
        while ready := [n for n, leaf in waiting.items() if leaf.names <= done]:
            for name in ready:
                order[name] = waiting.pop(name)
            done.update(ready)
        unknown = False
        for name, leaf in waiting.items():
            for missing in sorted(leaf.names - known):
                unknown = True
                what = f"name in vars.{name}:"
                self.problems.unknown("unknown_name", leaf.place, what, missing, known)
        if waiting and not unknown:
            self.problems.refuse(
                "vars_cycle",
                next(iter(waiting.values())).place,
                f"vars use each other in a circle: {listed(waiting)}",
                next_step="Give one of them a plain value",
            )
        return order

    def _shared(self, name: str, leaves: Mapping[Path, Leaf]) -> Value:
        """The checked value of a variable without patterns, computed once for the same leaves."""
        key = tuple(map(id, leaves.values()))
        if key not in self._checked:
            whole = assemble({path: expand(leaf.template, {}) for path, leaf in leaves.items()})
            self._checked[key] = self.check(name, leaves, whole, "")
        return self._checked[key]

    def check(self, name: str, leaves: Mapping[Path, Leaf], whole: Value, node: str) -> Value:
        """The canonical value of a variable, or None when it was refused."""
        try:
            return self.variables[name].kind.check(whole)
        except ValueProblem as problem:
            path = (name, *problem.key.split(".")) if problem.key else (name,)
            leaf = leaves.get(path)
            if leaf is None and not self._whole:
                return None  # what is missing may be what was refused
            leaf = leaf or list(leaves.values())[-1]
            if not node:
                refuse_value(self.problems, leaf.place, name, problem)
            else:
                full = f"{name}.{problem.key}" if problem.key else name
                self.problems.refuse_node(
                    "bad_value",
                    leaf.place,
                    node,
                    f"{full} of {node}: {problem.what}",
                    next_step=f"Give {problem.valid}",
                )
            return None
