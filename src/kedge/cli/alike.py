"""Which nodes say the same, so that they are one row, and what that row says of all of them.

A rack that loses its switch is one cause: its nodes are told apart neither by their own names in the
words, nor by the addresses of their BMCs, nor by their places in a queue. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from kedge.lib.nodeset import expand, fold
from kedge.shapes.nodes import NodeRow

WORST_FIRST = ("quarantined", "blocked", "waiting", "moving", "held", "converged")
FOR_A_PERSON = ("quarantined", "blocked")
NODES_WIDE = 48

_AHEAD = re.compile(r"\b(\d+) ahead\b")
_DIGEST = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]*")
_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)")


def image_name(image: Any) -> str:
    """What runs on a node, short enough for a table."""
    if isinstance(image, dict):
        known = cast("Mapping[str, Any]", image)
        image = known.get("reference") or known.get("digest") or ""
    text = "" if image is None else str(image)
    if text.startswith("("):  # a simulated machine's way to say that none runs
        return ""
    return text[:19] if text.startswith("sha256:") else _DIGEST.sub(r"\1", text.rpartition("/")[2])


def doing(row: NodeRow) -> str:
    """What is happening on a node at this moment."""
    if not row.progress:
        return row.step
    what, share = str(row.progress.get("what", "")), row.progress.get("share")
    percent = f" {share:.0%}" if isinstance(share, int | float) else ""
    return f"{row.step}: {what}{percent}" if row.step else f"{what}{percent}"


def alike(rows: Sequence[NodeRow], *, each: bool) -> list[list[NodeRow]]:
    """Rows that say the same, together; with ``each`` one row a node."""
    if each:
        return [[row] for row in rows]
    groups: dict[tuple[str, ...], list[NodeRow]] = {}
    for row in rows:
        said = (skeleton(words, row.node) for words in (row.why, row.next))
        key = (
            row.phase,
            row.power + str("power.read" in row.failures),
            row.stage,
            image_name(row.reference or row.image),
            doing(row),
            *said,
        )
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def worst_first(groups: Sequence[list[NodeRow]], *, each: bool) -> list[list[NodeRow]]:
    """What needs a person on top; of folded rows also the rest in the order of how far it is from well."""

    def rank(group: list[NodeRow]) -> int:
        phase = group[0].phase
        if each and phase not in FOR_A_PERSON:
            return len(FOR_A_PERSON)
        return WORST_FIRST.index(phase)

    return sorted(groups, key=rank)


def skeleton(words: str, node: str) -> str:
    """The words without what differs from node to node though the same is meant."""
    return _ADDRESS.sub("", _AHEAD.sub("", renamed(words, node, "")))


def together(texts: Sequence[str], node: str, nodes: str) -> str:
    """What alike nodes say, as one text about all of them: ``node``, whose text is the first, is ``nodes``
    there, places are ``0 to 5 ahead``, and addresses ``10.1.4.[11-18]``."""
    first = renamed(texts[0], node, nodes)
    ahead = [int(found[1]) for text in texts if (found := _AHEAD.search(text))]
    if ahead and min(ahead) != max(ahead):
        first = _AHEAD.sub(f"{min(ahead)} to {max(ahead)} ahead", first, count=1)
    places = list(zip(*(_ADDRESS.findall(text) for text in texts), strict=False))
    folded = iter([short(fold(dict.fromkeys(place))) for place in places])
    return _ADDRESS.sub(lambda found: next(folded, found[0]), first)


def renamed(words: str, node: str, nodes: str) -> str:
    """The words with ``nodes`` in place of the node's own name, so that they speak of all of them."""
    whole = rf"(?<![\w.-]){re.escape(node)}(?![\w-]|\.\w)"
    return re.sub(whole, lambda _: nodes, words)


def short(nodes: str) -> str:
    """A nodeset for a line of its own text: a long one is cut, and its nodes are counted."""
    if len(nodes) <= NODES_WIDE:
        return nodes
    kept = nodes[:NODES_WIDE].rpartition(",")[0] or nodes[:NODES_WIDE]
    closing = "]" if kept.count("[") > kept.count("]") else ""
    number = len(expand(nodes))
    return f"{kept},...{closing} ({number} {'node' if number == 1 else 'nodes'})"
