"""Nodesets in ClusterShell's syntax (``n[001-100,105]``), folded, and expanded with the groups of a site.

A thin front of ClusterShell's own parser, so that what an administrator types means what it means
to ``clush``; natural order everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ClusterShell.NodeSet import (  # pyright: ignore[reportMissingTypeStubs]
    RESOLVER_NOGROUP,
    NodeSet,
    NodeSetException,
)
from ClusterShell.NodeUtils import (  # pyright: ignore[reportMissingTypeStubs]
    GroupResolver,
    GroupResolverSourceError,
)

from kedge.lib.errors import KedgeError

MAX_NODES = 200_000
MAX_TEXT = 4_000_000
_LETTERS = re.compile(r"[A-Za-z_.-]*")


def expand(
    text: str, where: str = "", groups: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Every node named by ``text``, in natural order, ``@rack1`` being those of the group ``rack1``, and
    ``@*`` all of ``groups``; raises `KedgeError` (``nodeset.syntax``, ``nodeset.group``)."""
    _bound(text, where)
    resolver = _Groups(groups).resolver() if groups is not None and "@" in text else None
    try:
        nodes: Any = NodeSet(text, resolver=resolver or RESOLVER_NOGROUP)
        if len(nodes) > MAX_NODES:
            raise _too_large(text, where)
        return [str(node) for node in nodes]
    except (NodeSetException, GroupResolverSourceError) as error:
        raise KedgeError(
            "nodeset.syntax",
            f"{text!r} is not a nodeset",
            where=where,
            why=str(error),
            next_step="Write it like n[001-040] or n1,n2",
        ) from error


class _Groups:
    """Groups as ClusterShell asks for them (a source of its resolver); one that there is not is refused, not
    empty."""

    name, has_reverse = "site", False

    def __init__(self, nodes: Mapping[str, Sequence[str]]) -> None:
        self._nodes = nodes

    def resolver(self) -> Any:
        """What a nodeset is parsed with."""
        made: Any = GroupResolver(default_source=self)  # pyright: ignore[reportUnknownMemberType]
        return made

    def resolv_map(self, group: str) -> str:
        """The nodes of a group."""
        if group not in self._nodes:
            raise KedgeError(
                "nodeset.group", f"no such group: @{group}",
                next_step=f"Known groups: {', '.join(sorted(self._nodes)) or 'none'}",
            )  # fmt: skip
        return fold(self._nodes[group])

    def resolv_list(self) -> list[str]:
        """All names."""
        return list(self._nodes)

    def resolv_all(self) -> str:
        """The nodes of all groups."""
        return fold(name for nodes in self._nodes.values() for name in nodes)


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
    chosen = list(names)
    quick = _fold_numbered(chosen)
    if quick is not None:
        return quick
    folded: Any = NodeSet.fromlist(chosen, resolver=RESOLVER_NOGROUP)  # pyright: ignore[reportUnknownMemberType]
    return str(folded)


def _fold_numbered(names: Iterable[str]) -> str | None:
    """The same for names that are letters and then one number, as nearly all are: ClusterShell takes a
    second for 100,000 of them. None for all others, and for numbers with and without leading zeros."""
    numbers: dict[str, set[str]] = {}
    for name in names:
        prefix = name.rstrip("0123456789")
        found = numbers.get(prefix)
        if found is None:
            if _LETTERS.fullmatch(prefix) is None:
                return None
            found = numbers[prefix] = set()
        found.add(name[len(prefix) :])
    patterns: dict[str, str] = {}
    for prefix, written in numbers.items():
        if "" in written:
            if not prefix:
                return None
            patterns[prefix] = prefix
            written.discard("")
        if written:
            widths = {len(digits) for digits in written}
            if len(widths) > 1 and any(len(d) > 1 and d[0] == "0" for d in written):
                return None
            width = widths.pop() if len(widths) == 1 else 0
            patterns[prefix + "%s"] = prefix + _ranges(sorted(map(int, written)), width)
    return ",".join(patterns[pattern] for pattern in sorted(patterns))


def _ranges(numbers: Sequence[int], width: int) -> str:
    """Ascending numbers as ``[1-3,5]``, or as they are when there is one."""
    if len(numbers) == 1:
        return str(numbers[0]).zfill(width)
    parts: list[str] = []
    first = last = numbers[0]
    for number in (*numbers[1:], -1):
        if number == last + 1:
            last = number
            continue
        begin = str(first).zfill(width)
        parts.append(begin if first == last else f"{begin}-{str(last).zfill(width)}")
        first = last = number
    return f"[{','.join(parts)}]"
