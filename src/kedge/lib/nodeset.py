"""Nodesets in ClusterShell's syntax (``n[001-100,105]``), folded and expanded without any @group.

A thin front of ClusterShell's own parser, so that what an administrator types means what it means
to ``clush``; natural order everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ClusterShell.NodeSet import (  # pyright: ignore[reportMissingTypeStubs]
    RESOLVER_NOGROUP,
    NodeSet,
    NodeSetException,
)

from kedge.lib.errors import KedgeError

MAX_NODES = 200_000


def expand(text: str, where: str = "") -> list[str]:
    """Every node named by ``text``, in natural order; raises `KedgeError` (``nodeset.syntax``)."""
    try:
        nodes: Any = NodeSet(text, resolver=RESOLVER_NOGROUP)
        if len(nodes) > MAX_NODES:
            raise KedgeError(
                "nodeset.too_large",
                f"nodeset {text!r} names more than {MAX_NODES} nodes",
                where=where,
            )
        return [str(node) for node in nodes]
    except NodeSetException as error:
        raise KedgeError(
            "nodeset.syntax",
            f"{text!r} is not a nodeset",
            where=where,
            why=str(error),
            next_step="Write it like n[001-040] or n1,n2",
        ) from error


def fold(names: Iterable[str]) -> str:
    """The shortest nodeset that names exactly ``names`` (empty text for none)."""
    folded: Any = NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP)  # pyright: ignore[reportUnknownMemberType]
    return str(folded)
