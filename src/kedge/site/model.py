"""A site as applied: cluster, networks, groups, nodes and their effective configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Value
from kedge.core.node import Configuration


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an effective value was written: file, line, and the layer (``profile compute``); of what a
    person set by command there is no file, but the time ``at`` (seconds since the epoch)."""

    layer: str
    file: str = ""
    line: int = 0
    at: float = 0.0

    def __str__(self) -> str:
        return f"{self.layer} ({self.file}:{self.line})" if self.file else self.layer


@dataclass(frozen=True, slots=True)
class Network:
    """A network that nodes are attached to."""

    name: str
    cidr: str
    gateway: str = ""
    dns: tuple[str, ...] = ()
    ntp: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster's own words: its name and DNS domain."""

    name: str
    domain: str = ""


@dataclass(frozen=True, slots=True)
class FileTemplate:
    """One host file (overlay): a Jinja2 template rendered per node in memory.

    ``source`` is what errors call the template: its file in the site's folder, or ``file:line``.
    """

    path: str
    template: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    origin: Origin = field(default_factory=lambda: Origin("site"))
    source: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that are owned, scaled and updated together."""

    name: str
    nodes: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    hold: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """How many nodes of a pool: ``number`` of them, or (``percent``) of each hundred."""

    number: int
    percent: bool = False

    def of(self, members: int) -> int:
        """The limit of a pool of ``members`` nodes: rounded down, but never none."""
        return max(1, members * self.number // 100) if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


@dataclass(frozen=True, slots=True)
class Site:
    """Everything the administrator wrote, checked and resolved.

    ``nodes`` are effective configurations; ``origins[node][variable]`` says where each value was
    written; ``files[node]`` are the host files (overlay) templates of that node, in order of path;
    ``budgets`` maps a budget name to the limit per pool kind (``{"power.inrush": {"rack": 4}}``), and
    ``budget_origins`` says where each is written; ``out_of_service`` are the limits, per pool kind, of
    nodes that are out of service at once.
    """

    cluster: Cluster
    networks: Mapping[str, Network] = field(default_factory=dict[str, Network])
    groups: Mapping[str, Group] = field(default_factory=dict[str, Group])
    nodes: Mapping[str, Configuration] = field(default_factory=dict[str, Configuration])
    origins: Mapping[str, Mapping[str, Origin]] = field(
        default_factory=dict[str, Mapping[str, Origin]]
    )
    files: Mapping[str, tuple[FileTemplate, ...]] = field(
        default_factory=dict[str, tuple[FileTemplate, ...]]
    )
    budgets: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    budget_origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin])
    out_of_service: Mapping[str, Share] = field(default_factory=dict[str, Share])
    settings: Mapping[str, Value] = field(default_factory=dict[str, Value])


def same_surroundings(one: Site, other: Site) -> bool:
    """Whether two sites differ in nodes and their host files only."""
    return all(
        getattr(one, name) is getattr(other, name) or getattr(one, name) == getattr(other, name)
        for name in ("cluster", "networks", "groups", "budgets", "out_of_service", "settings")
    )


def same_node(one: Site, other: Site, name: str) -> bool:
    """Whether a node is configured alike in both, host files included."""
    node, files = one.nodes.get(name), one.files.get(name)
    alike = node is not None and (node is other.nodes[name] or node == other.nodes[name])
    found = other.files.get(name)
    return alike and (files is found or files == found)
