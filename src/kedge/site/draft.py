"""The site as it is written: every section read and checked alone, not yet resolved per node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Value
from kedge.core.variable import Variable
from kedge.lib import nodeset
from kedge.lib.errors import KedgeError
from kedge.site import words
from kedge.site.hostfiles import Overlays, names_of, read_files
from kedge.site.layers import Reader
from kedge.site.leaves import Layer, entries
from kedge.site.macs import Macs, read_macs
from kedge.site.model import Cluster
from kedge.site.networks import Range, read_networks
from kedge.site.problems import Place, Problems, shorten
from kedge.site.settings import Budgets, read_budgets, read_settings
from kedge.site.tree import Scalar, Table, Tree


@dataclass(slots=True)
class GroupDraft:
    """A group and the layer that it adds to its nodes."""

    name: str
    layer: Layer
    nodes: list[str]
    parents: list[tuple[str, Place]]


@dataclass(slots=True)
class Entry:
    """One entry of ``nodes:``, for one node or many."""

    nodes: list[str]
    layer: Layer


@dataclass(slots=True)
class Draft:
    """All sections."""

    cluster: Cluster = field(default_factory=lambda: Cluster(""))
    base: Layer = field(default_factory=lambda: Layer("cluster", Place()))
    networks: dict[str, Range] = field(default_factory=dict[str, Range])
    profiles: dict[str, Layer] = field(default_factory=dict[str, Layer])
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    groups: dict[str, GroupDraft] = field(default_factory=dict[str, GroupDraft])
    entries: list[Entry] = field(default_factory=list[Entry])
    macs: Macs = field(default_factory=Macs)
    budgets: Budgets = field(default_factory=Budgets)
    settings: dict[str, Value] = field(default_factory=dict[str, Value])


def read_draft(
    document: Mapping[str, tuple[Tree, Place]],
    files: Mapping[str, str],
    variables: Mapping[str, Variable],
    problems: Problems,
) -> Draft:
    """Every section that can be read; what cannot is noted in ``problems``."""
    nothing = Scalar(None, "", Place())
    sections = {name: document.get(name, (nothing, Place()))[0] for name in words.SECTIONS}
    draft = Draft(networks=read_networks(sections["networks"], problems))
    overlays = Overlays(files)
    for name, spec, _ in entries(sections["overlays"], "overlays", problems):
        overlays.sets[name] = read_files(spec, f"overlay {name}", overlays, problems)
    reader = Reader(variables, draft.networks.keys(), overlays, problems)
    _Sections(reader, draft).read(sections)
    read_macs(sections["macs"], files, draft.networks.keys(), draft.macs, problems)
    draft.settings = read_settings(sections["settings"], problems)
    attributes = {name for layer in _layers(draft) for name in layer.vars}
    draft.budgets = read_budgets(sections["budgets"], attributes, problems)
    return draft


def _layers(draft: Draft) -> list[Layer]:
    groups = [group.layer for group in draft.groups.values()]
    return [draft.base, *draft.profiles.values(), *groups, *(e.layer for e in draft.entries)]


def expand_nodes(text: str, place: Place, problems: Problems) -> list[str]:
    """The nodes of a nodeset, whose names must be host names."""
    if words.NODE_NAME.fullmatch(text):
        return [text]
    try:
        names = nodeset.expand(text, where=str(place))
    except KedgeError as error:
        problems.add(error, place)
        return []
    bad = [name for name in names if not words.NODE_NAME.fullmatch(name)]
    if bad or not names:
        problems.refuse(
            "bad_node_name",
            place,
            f"{shorten(bad[0], 80)!r} is no name for a node" if bad else "the nodeset is empty",
            next_step="Use small letters, digits and -, like n001 or n[001-040]",
        )
    return [] if bad else names


class _Sections:
    """Reads the sections that are layers: cluster, profiles, groups and nodes."""

    def __init__(self, reader: Reader, draft: Draft) -> None:
        self.reader = reader
        self.problems = reader.problems
        self.draft = draft

    def read(self, sections: Mapping[str, Tree]) -> None:
        self.cluster(sections["cluster"])
        everywhere = read_files(sections["files"], "files", self.reader.overlays, self.problems)
        self.draft.base.files = {**everywhere, **self.draft.base.files}
        self.profiles(sections["profiles"])
        for name, spec, place in entries(sections["groups"], "groups", self.problems):
            self.group(name, spec, place)
        for text, spec, place in entries(sections["nodes"], "nodes", self.problems):
            self.entry(text, spec, place)

    def cluster(self, tree: Tree) -> None:
        if not isinstance(tree, Table):
            self.problems.refuse(
                "no_cluster",
                tree.place,
                "the site does not name its cluster",
                next_step="Write: cluster: { name: lab, domain: lab.example }",
            )
            return
        self.draft.base, rest = self.reader.layer("cluster", tree, tree.place, words.CLUSTER_KEYS)
        name = self.word(rest.get("name"), tree.place, "cluster.name")
        domain = rest.get("domain")
        text = domain.raw if isinstance(domain, Scalar) else ""
        if domain is not None and not words.DOMAIN.fullmatch(text):
            self.problems.refuse(
                "bad_name",
                domain.place,
                "cluster.domain is no domain",
                next_step="Like lab.example",
            )
        self.draft.cluster = Cluster(name, text)

    def word(self, tree: Tree | None, place: Place, what: str) -> str:
        if isinstance(tree, Scalar) and words.WORD.fullmatch(tree.raw):
            return tree.raw
        self.problems.refuse(
            "bad_name",
            tree.place if tree else place,
            f"{what} must be a name",
            next_step="Use letters, digits and -",
        )
        return ""

    def profiles(self, tree: Tree) -> None:
        extends: dict[str, list[tuple[str, Place]]] = {}
        for name, spec, place in entries(tree, "profiles", self.problems):
            self.check_word(name, place, "profile")
            layer, rest = self.reader.layer(f"profile {name}", spec, place, words.PROFILE_KEYS)
            self.draft.profiles[name] = layer
            extends[name] = (
                names_of(rest["extends"], "extends", self.problems) if "extends" in rest else []
            )
        for name, parents in extends.items():
            extends[name] = [(p, at) for p, at in parents if self.known_profile(p, at)]
        for name in extends:
            self.chain(name, extends, [])

    def chain(
        self, name: str, extends: Mapping[str, list[tuple[str, Place]]], path: list[str]
    ) -> tuple[str, ...]:
        """What ``name`` extends, outermost first, then itself; a cycle is refused once."""
        known = self.draft.chains.get(name)
        if known is not None:
            return known
        if len(path) > 64:
            self.problems.refuse(
                "too_deep", self.draft.profiles[name].place, "profiles extend each other too deeply"
            )
            return (name,)
        order: dict[str, None] = {}
        for parent, place in extends[name]:
            if parent == name or parent in path:
                cycle = [*path, name][[*path, name].index(parent) :]
                self.problems.refuse(
                    "profile_cycle",
                    place,
                    f"profiles extend each other in a circle: {' -> '.join([*cycle, parent])}",
                    next_step="Remove one of these extends",
                )
            else:
                order.update(dict.fromkeys(self.chain(parent, extends, [*path, name])))
        self.draft.chains[name] = (*order, name)
        return self.draft.chains[name]

    def known_profile(self, name: str, place: Place) -> bool:
        if name in self.draft.profiles:
            return True
        self.problems.unknown("unknown_profile", place, "profile", name, self.draft.profiles)
        return False

    def check_word(self, name: str, place: Place, noun: str) -> None:
        if not words.WORD.fullmatch(name):
            self.problems.refuse(
                "bad_name",
                place,
                f"{shorten(name, 80)!r} is no name for a {noun}",
                next_step="Use letters, digits and -",
            )

    def used_profiles(self, layer: Layer, rest: Mapping[str, Tree]) -> None:
        if "profiles" in rest:
            names = names_of(rest["profiles"], "profiles", self.problems)
            layer.profiles = tuple(name for name, at in names if self.known_profile(name, at))

    def group(self, name: str, spec: Tree, place: Place) -> None:
        self.check_word(name, place, "group")
        layer, rest = self.reader.layer(f"group {name}", spec, place, words.GROUP_KEYS)
        self.used_profiles(layer, rest)
        nodes = rest.get("nodes")
        names: list[str] = []
        if isinstance(nodes, Scalar) and nodes.value is not None:
            names = expand_nodes(nodes.raw, nodes.place, self.problems)
        else:
            self.problems.refuse(
                "no_nodes",
                nodes.place if nodes else place,
                f"group {name} needs nodes",
                next_step='Write: nodes: "n[001-040]"',
            )
        parents: list[tuple[str, Place]] = []
        if "parents" in rest:
            for text, at in names_of(rest["parents"], "parents", self.problems):
                parents += [(node, at) for node in expand_nodes(text, at, self.problems)]
        self.draft.groups[name] = GroupDraft(name, layer, names, parents)

    def entry(self, text: str, spec: Tree, place: Place) -> None:
        names = expand_nodes(text, place, self.problems)
        layer, rest = self.reader.layer(_entry_name(text, names), spec, place, words.NODE_KEYS)
        self.used_profiles(layer, rest)
        if "macs" in rest:
            if len(names) == 1:
                self.draft.macs.read_node(
                    names[0], rest["macs"], self.draft.networks.keys(), self.problems
                )
            elif names:
                self.problems.refuse(
                    "shared_mac",
                    rest["macs"].place,
                    f"{shorten(text, 80)} is more than one node and cannot share a MAC",
                    next_step="Use a CSV file: macs: macs.csv",
                )
        if names:
            self.draft.entries.append(Entry(names, layer))


def _entry_name(text: str, names: list[str]) -> str:
    return f"node {text}" if len(names) == 1 else f"nodes {shorten(text, 80)}"
