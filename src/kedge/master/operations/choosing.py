"""Which nodes a person means."""

from __future__ import annotations

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand, fold
from kedge.master.engine.head import Head


def chosen(
    head: Head, nodes: str, *, exactly_one: bool = False, at_least_one: bool = False
) -> list[str]:
    """The nodes of a nodeset (empty: all, where that is harmless); raises `KedgeError`."""
    if not nodes and not exactly_one and not at_least_one:
        return list(head.nodes)
    names = named(head, nodes)
    unknown = [name for name in names if name not in head.nodes]
    if unknown or not names or (exactly_one and len(names) != 1):
        known = fold(head.nodes) or "none yet: kedge apply"
        what = f"no such node: {fold(unknown)}" if unknown else f"{nodes!r} names no node"
        if not unknown and names:
            what = f"{nodes!r} names {len(names)} nodes, one is asked for"
        raise KedgeError("node.unknown", what, next_step=f"Known nodes: {known}")
    return names


def named(head: Head, nodes: str) -> list[str]:
    """The names of a nodeset, of nodes or not; ``@rack1`` is a group of the site. Raises `KedgeError`."""
    known = {name: group.nodes for name, group in head.site.groups.items()} if head.site else {}
    return expand(nodes, groups=known)
