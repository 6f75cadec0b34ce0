"""Holds that were put by command: on nodes, on whole groups, on the cluster.

They are kept by *scope*: a node's name, ``@rack1`` for a group, ``@*`` for the cluster. A hold of a
group also holds nodes that come into it later. Of several the narrowest one speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.lib.nearest import nearest
from kedge.lib.nodeset import fold
from kedge.site.model import Group, Site
from kedge.site.overrides import Override

CLUSTER = "@*"
Holds = Mapping[str, Mapping[str, Any]]
"""Scope -> ``reason``, ``by``, ``at``."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a person names: nodes, or one group, or the whole cluster."""

    nodes: tuple[str, ...] = ()
    group: str = ""
    cluster: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The names under which holds of this scope are kept."""
        return (CLUSTER,) if self.cluster else (f"@{self.group}",) if self.group else self.nodes

    def members(self, site: Site | None) -> list[str]:
        """The nodes that it speaks of."""
        if site is None or not (self.group or self.cluster):
            return list(self.nodes)
        return list(site.nodes) if self.cluster else list(site.groups[self.group].nodes)

    def __str__(self) -> str:
        group = f"group {self.group}" if self.group else ""
        return "the cluster" if self.cluster else group or fold(self.nodes)


def scope_of(site: Site | None, nodes: tuple[str, ...], group: str, *, cluster: bool) -> Scope:
    """One of the three; raises `KedgeError` for more or none, and for a group that there is not."""
    if bool(nodes) + bool(group) + cluster != 1:
        raise KedgeError(
            "hold.scope", "name nodes, or one group, or all",
            next_step="A nodeset, --group NAME, or --all",
        )  # fmt: skip
    groups: Mapping[str, Group] = site.groups if site is not None else {}
    if group and group not in groups:
        near = nearest(group, groups)
        raise KedgeError(
            "group.unknown", f"no such group: {group}",
            next_step=(f"Did you mean {near}? " if near else "")
            + f"Groups: {', '.join(groups) or 'none yet'}",
        )  # fmt: skip
    return Scope(nodes, group, cluster)


def holder(holds: Holds, node: Configuration) -> str:
    """The scope of the hold by command that speaks for a node; empty for none."""
    return next((key for key in (node.name, f"@{node.group}", CLUSTER) if key in holds), "")


def spread(holds: Holds, site: Site) -> dict[str, Override]:
    """The holds node by node, each saying where it comes from."""
    if not holds:
        return {}
    found: dict[str, Override] = {}
    whole = CLUSTER in holds
    names: Iterable[str] = site.nodes
    if not whole:
        groups = (site.groups[key[1:]].nodes for key in holds if key[1:] in site.groups)
        names = {*(name for name in holds if name in site.nodes), *(n for g in groups for n in g)}
    for name in names:
        key = holder(holds, site.nodes[name])
        if key:
            hold = holds[key]
            of = "" if key == name else "the cluster" if key == CLUSTER else f"group {key[1:]}"
            found[name] = Override(hold["reason"], hold["by"], hold["at"], of)
    return found


def without_gone(holds: Holds, site: Site) -> dict[str, Mapping[str, Any]]:
    """The holds of nodes and groups that ``site`` has."""
    return {
        key: hold
        for key, hold in holds.items()
        if key == CLUSTER or key in site.nodes or (key[:1] == "@" and key[1:] in site.groups)
    }


def release_command(key: str) -> str:
    """How a hold by command ends."""
    if key == CLUSTER:
        return "kedge node release --all"
    return (
        f"kedge node release --group {key[1:]}" if key[:1] == "@" else f"kedge node release {key}"
    )
