"""Nodesets in ClusterShell's syntax (``n[001-100,105]``), folded and expanded without any @group.

A thin front of ClusterShell's own parser, so that what an administrator types means what it means
to ``clush``; natural order everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ClusterShell.NodeSet import (  # pyright: ignore[reportMissingTypeStubs]
    RESOLVER_NOGROUP,
    NodeSet,
    NodeSetException,
)

from kedge.lib.errors import KedgeError

MAX_NODES = 200_000
MAX_TEXT = 4_000_000


def expand(text: str, where: str = "") -> list[str]:
    """Every node named by ``text``, in natural order; raises `KedgeError` (``nodeset.syntax``)."""
    _bound(text, where)
    try:
        nodes: Any = NodeSet(text, resolver=RESOLVER_NOGROUP)
        if len(nodes) > MAX_NODES:
            raise _too_large(text, where)
        return [str(node) for node in nodes]
    except NodeSetException as error:
        raise KedgeError(
            "nodeset.syntax",
            f"{text!r} is not a nodeset",
            where=where,
            why=str(error),
            next_step="Write it like n[001-040] or n1,n2",
        ) from error


def _too_large(text: str, where: str) -> KedgeError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return KedgeError(
        "nodeset.too_large",
        f"nodeset {shown!r} names more than {MAX_NODES} nodes",
        where=where,
        next_step="Write several smaller ones",
    )


def _bound(text: str, where: str) -> None:
    """Refuse, before any of it is built, a text whose ranges could name far too many nodes."""
    if len(text) > MAX_TEXT:
        raise _too_large(text, where)
    total, most = 0, 1
    for token in re.finditer(r"\[([^\[\]]*)|[,!&^]", text):
        if token[1] is None:
            total, most = total + most, 1
        else:
            most *= max(1, sum(map(_width, token[1].split(","))))
        if total + most > 2 * MAX_NODES:
            raise _too_large(text, where)


def _width(part: str) -> int:
    match = re.match(r"-?([0-9]+)-([0-9]+)", part)
    if match is None:
        return 1
    low, high = match[1], match[2]
    if max(len(low), len(high)) > 15:
        return 10**15
    return abs(int(high) - int(low)) + 1


def fold(names: Iterable[str]) -> str:
    """The shortest nodeset that names exactly ``names`` (empty text for none)."""
    folded: Any = NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP)  # pyright: ignore[reportUnknownMemberType]
    return str(folded)
