"""Resolves a draft into effective configurations: classes once, patterns for every node."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Value
from kedge.core.node import Configuration
from kedge.core.variable import Variable
from kedge.site.classes import Classes, NodeClass, assemble
from kedge.site.draft import Draft, GroupDraft
from kedge.site.leaves import Leaf
from kedge.site.model import FileTemplate, Origin
from kedge.site.patterns import PatternProblem, expand, number_of
from kedge.site.problems import Problems


@dataclass(slots=True)
class Resolved:
    """Effective configurations with their origins and host files.

    ``unaddressed`` are the nodes that no layer gives an address on the provision network.
    """

    nodes: dict[str, Configuration] = field(default_factory=dict[str, Configuration])
    origins: dict[str, Mapping[str, Origin]] = field(
        default_factory=dict[str, Mapping[str, Origin]]
    )
    files: dict[str, tuple[FileTemplate, ...]] = field(
        default_factory=dict[str, tuple[FileTemplate, ...]]
    )
    unaddressed: list[str] = field(default_factory=list[str])


class Resolver:
    """Goes through groups, classes and nodes."""

    def __init__(self, draft: Draft, variables: Mapping[str, Variable], problems: Problems) -> None:
        self.draft = draft
        self.problems = problems
        self.classes = Classes(draft, variables, problems)
        self.resolved = Resolved()

    def run(self) -> Resolved:
        """Every node of every group."""
        entries_of = self._entries()
        owner: dict[str, GroupDraft] = {}
        for group in self.draft.groups.values():
            classes: dict[tuple[int, ...], NodeClass] = {}
            for index, name in enumerate(group.nodes, 1):
                first = owner.setdefault(name, group)
                if first is not group:
                    self._two_groups(name, group, first)
                    continue
                key = tuple(entries_of.get(name, ()))
                known = classes.get(key)
                if known is None:
                    known = classes[key] = self.classes.of(group, key)
                self._node(name, index, group, known)
        return self.resolved

    def _entries(self) -> dict[str, list[int]]:
        """Which entries of ``nodes:`` speak of a node, those of more nodes first."""
        entries = self.draft.entries
        found: dict[str, list[int]] = {}
        for i in sorted(range(len(entries)), key=lambda i: (-len(entries[i].nodes), i)):
            for node in entries[i].nodes:
                found.setdefault(node, []).append(i)
        return found

    def _two_groups(self, node: str, group: GroupDraft, first: GroupDraft) -> None:
        self.problems.refuse_node(
            "two_groups",
            group.layer.place,
            node,
            f"node {node} is in group {group.name} and in group {first.name}",
            why=f"group {first.name} is in {first.layer.place}",
            next_step="A node belongs to one group: remove it from the other",
        )

    def _node(self, name: str, index: int, group: GroupDraft, found: NodeClass) -> None:
        """Expand the patterns of a class for one of its nodes."""
        cluster = self.draft.cluster
        names: dict[str, Value] = {
            "name": name,
            "number": number_of(name),
            "index": index,
            "group": group.name,
            "cluster": cluster.name,
            "domain": cluster.domain,
        }
        attributes: dict[str, Value] = {}
        for var, leaf in found.vars.items():
            names[var] = attributes[var] = self._expanded("vars", var, leaf, names, name)
        values = dict(found.fixed)
        for variable, leaves in found.varying.items():
            parts = {
                path: self._expanded("", ".".join(path), leaf, names, name)
                for path, leaf in leaves.items()
            }
            if None not in parts.values():
                values[variable] = self.classes.check(variable, leaves, assemble(parts), name)
        hold = self._expanded("", "hold", found.hold, names, name) if found.hold else ""
        macs = self.draft.macs.of_node.get(name, {})
        self.resolved.nodes[name] = Configuration(
            name=name,
            values=values,
            group=group.name,
            profiles=found.profiles,
            addresses=self._addresses(name, found, names),
            macs={network: mac for network, (mac, _) in macs.items()},
            attributes=attributes,
            hold=str(hold or ""),
        )
        origins: Mapping[str, Origin] = found.origins
        if macs:
            written = {f"macs.{n}": Origin("macs", at.file, at.line) for n, (_, at) in macs.items()}
            origins = {**found.origins, **written}
        self.resolved.origins[name] = origins
        self.resolved.files[name] = found.files
        if not found.addressed:
            self.resolved.unaddressed.append(name)

    def _expanded(
        self, section: str, what: str, leaf: Leaf, names: Mapping[str, Value], node: str
    ) -> Value:
        """The value of one leaf for one node, or None when that was refused."""
        if leaf.fixed:
            return expand(leaf.template, names)
        try:
            return expand(leaf.template, names)
        except PatternProblem as problem:
            if any(names[name] is None for name in leaf.names - {"number"}):
                return None  # what it uses was refused already
            full = f"{section}.{what}" if section else what
            why = ""
            if names["number"] is None and "number" in leaf.names:
                why = f"the name {node} holds no number"
            self.problems.refuse_node(
                "pattern", leaf.place, node, f"{full} of {node}: {problem}", why=why
            )
            return None

    def _addresses(self, node: str, found: NodeClass, names: Mapping[str, Value]) -> dict[str, str]:
        addresses: dict[str, str] = {}
        for network, leaf in found.addresses.items():
            value = self._expanded("addresses", network, leaf, names, node)
            if value is None:
                continue
            checked = self.draft.networks[network]
            address = None
            try:
                address = ipaddress.ip_address(str(value))
                fault = checked.fault(address)
            except ValueError:
                fault = f"{value!r} is not an IP address"
            if fault:
                self.problems.refuse_node(
                    "bad_address",
                    leaf.place,
                    node,
                    f"addresses.{network} of {node}: {fault}",
                    next_step=f"Give an address within {checked.network.cidr}",
                )
            else:
                addresses[network] = str(address)
        return addresses
