"""What the operations of a process need to know of the tree, at a master and at a sub-master alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Json = dict[str, Any]


class TreeOperations(Protocol):
    """What `kedge.master.operations` needs to know of the tree."""

    def about(self) -> Json:
        """Role, name, and what of the tree is degraded."""
        ...

    def owner(self, group: str) -> str:
        """Who acts on the nodes of a group; empty where this process does."""
        ...

    def row(self, node: str) -> Json:
        """What of a node's row its owner tells; nothing where this process acts on it."""
        ...

    def shown(self, node: str) -> Json:
        """The same, as people shall see it."""
        ...

    def path(self, node: str) -> Json | None:
        """A node's path as its owner tells it; None where there is nothing told."""
        ...

    def pass_on(self, names: list[str], what: str, by: str, goals: Mapping[str, str]) -> list[str]:
        """Hand a request to the nodes' owners; returns the nodes that this process acts on."""
        ...

    def list(self) -> list[Json]:
        """One row a sub-master."""
        ...

    def add(self, name: str, below: str | None = None) -> Json:
        """A new sub-master, ``below`` another one or the master: the contents of its join file."""
        ...

    def remove(self, name: str) -> Json:
        """Forget a sub-master."""
        ...
