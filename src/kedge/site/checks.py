"""Checks between nodes: what two nodes may not share, and names that stand for no node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kedge.core.kinds import Value
from kedge.core.node import Configuration
from kedge.lib import nodeset
from kedge.site.draft import Draft, GroupDraft
from kedge.site.model import Origin
from kedge.site.problems import Place, Problems, shorten
from kedge.site.resolve import Resolved
from kedge.site.words import PROVISION

BMC = "power.bmc"
_BMC_KEYS = ("address", "port", "system")

Nodes = Mapping[str, Configuration]
Origins = Mapping[str, Mapping[str, Origin]]


def check_unique(nodes: Nodes, origins: Origins, problems: Problems) -> None:
    """No two nodes share an address on a network, or a BMC."""
    owner: dict[tuple[str, str], str] = {}
    for name, node in nodes.items():
        for network, address in node.addresses.items():
            _claim(owner, (f"addresses.{network}", address), name, origins, problems)
        bmc = node.values.get(BMC)
        if isinstance(bmc, dict) and bmc.get("address"):
            identity = " ".join(_word(bmc.get(key)) for key in _BMC_KEYS).strip()
            _claim(owner, (f"{BMC}.address", identity), name, origins, problems)


def _word(value: Value) -> str:
    return "" if value is None else str(value)


def _claim(
    owner: dict[tuple[str, str], str],
    what: tuple[str, str],
    node: str,
    origins: Origins,
    problems: Problems,
) -> None:
    other = owner.setdefault(what, node)
    if other == node:
        return
    subject, value = what
    first, second = _origin(origins, other, subject), _origin(origins, node, subject)
    code = "duplicate_bmc" if subject.startswith(BMC) else "duplicate_address"
    problems.refuse_node(
        code,
        Place(second.file, second.line),
        node,
        f"{node} and {other} have the same {subject}: {value}",
        why=f"{other} has it from {first}",
        next_step="Give each node its own",
    )


def _origin(origins: Origins, node: str, subject: str) -> Origin:
    known = origins.get(node, {})
    return known.get(subject) or known.get(subject.rpartition(".")[0]) or Origin("site")


def check_present(draft: Draft, resolved: Resolved, problems: Problems) -> None:
    """Everything that is spoken of is there, and every node has what it cannot boot without."""
    nodes = resolved.nodes
    for entry in draft.entries:
        _known(entry.nodes, entry.layer.place, nodes, problems)
    for name, ports in draft.macs.of_node.items():
        if name not in nodes:
            _known([name], next(iter(ports.values()))[1], nodes, problems)
    for group in draft.groups.values():
        _check_parents(group, problems)
    if not nodes:
        return
    if PROVISION in draft.networks:
        for node in resolved.unaddressed:
            place = draft.groups[nodes[node].group].layer.place
            problems.refuse_node(
                "no_address",
                place,
                node,
                f"{node} has no address on the {PROVISION} network, which nodes boot from",
                next_step='Write under nodes: addresses: { provision: "10.77.{rack}.{index}" }',
            )
    else:
        problems.refuse(
            "no_network",
            Place(next(iter(draft.groups.values())).layer.place.file),
            f"there is no network {PROVISION!r}, which nodes boot from",
            next_step="Write: networks: { provision: { cidr: 10.77.0.0/16 } }",
        )


def _check_parents(group: GroupDraft, problems: Problems) -> None:
    """Parents are sub-masters; which of them there are, the master knows and this floor does not."""
    members = set(group.nodes)
    for parent, place in group.parents:
        if parent in members:
            problems.refuse(
                "own_parent",
                place,
                f"{parent} is in group {group.name} and cannot be its parent",
                next_step="Name a sub-master: kedge submaster list",
            )


def _known(names: Iterable[str], place: Place, nodes: Nodes, problems: Problems) -> None:
    unknown = [name for name in names if name not in nodes]
    if not unknown:
        return
    near = problems.nearest(unknown[0], list(nodes)) if len(unknown) == 1 else ""
    hint = f"Did you mean {near}? " if near else ""
    verb = "belongs" if len(unknown) == 1 else "belong"
    problems.refuse(
        "unknown_node",
        place,
        f"{shorten(nodeset.fold(unknown), 120)} {verb} to no group",
        next_step=f"{hint}Groups hold {shorten(nodeset.fold(nodes), 200) or 'no nodes yet'}",
    )
