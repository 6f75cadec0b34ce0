"""Lines of the log that say the same of many nodes within some seconds, as one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from kedge.cli.alike import skeleton, together
from kedge.lib.nodeset import expand, fold
from kedge.shapes.log import EventRow

WITHIN_S = 15.0

Key = tuple[str, ...]


def folded(rows: Sequence[EventRow]) -> list[EventRow]:
    """The rows in their order; a later one that says the same of another node is part of the first.

    The order of what happened to each node stays: a row joins only a line behind the last one that speaks
    of its node.
    """
    lines: list[list[EventRow]] = []
    known: dict[Key, int] = {}
    last: dict[str, int] = {}
    for row in rows:
        names = expand(row.nodes) if row.nodes else []
        key = _key(row, names)
        place = known.get(key)
        joins = (
            bool(names)
            and place is not None
            and row.at - lines[place][0].at <= WITHIN_S
            and all(last.get(name, -1) < place for name in names)
        )
        if not joins or place is None:
            place = known[key] = len(lines)
            lines.append([])
        lines[place].append(row)
        last.update(dict.fromkeys(names, place))
    return [_merged(line) if len(line) > 1 else line[0] for line in lines]


def _key(row: EventRow, names: Sequence[str]) -> Key:
    texts = (row.what, row.subject, row.before, row.after, row.cause)
    return tuple(skeleton(text, names[0]) for text in texts) if len(names) == 1 else texts


def _merged(line: Sequence[EventRow]) -> EventRow:
    first = line[0]
    name = expand(first.nodes)[0]
    nodes = fold(dict.fromkeys(node for row in line for node in expand(row.nodes)))

    def said(texts: Sequence[str]) -> str:
        return together(texts, name, nodes) if len(expand(first.nodes)) == 1 else texts[0]

    return EventRow(
        seq=first.seq,
        at=first.at,
        nodes=nodes,
        what=first.what,
        subject=said([row.subject for row in line]),
        before=said([row.before for row in line]),
        after=said([row.after for row in line]),
        cause=said([row.cause for row in line]),
    )
