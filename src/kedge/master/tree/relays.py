"""What an owner wrote for a node whose agent is attached to another parent, as it travels to that parent.

It is told only while the agent is known to hold something earlier, so nothing travels when all is quiet.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kedge.master.agents.link import Link
from kedge.master.tree.entries import pack, unpack
from kedge.master.tree.heard import Report
from kedge.sync.difference import Difference, Stamp
from kedge.sync.digest import Entry
from kedge.sync.wire import Epoch

MOST_BYTES = 8 << 20
"""How much is on its way at once to one parent, or from one owner; the rest follows when that has come."""


class _Written(msgspec.Struct, frozen=True, array_like=True):
    epoch: tuple[int, int]
    version: int
    entries: dict[str, tuple[bytes | None, int]]


def as_entry(written: Difference) -> bytes:
    """A whole configured record as it travels."""
    entries = {name: [entry.value, entry.version] for name, entry in written.entries}
    return pack([list(written.stamp.epoch), written.stamp.version, entries])


def written_of(raw: bytes | None) -> Difference | None:
    """What travelled, or None for what is none."""
    try:
        read = msgspec.convert(unpack(raw), _Written)
    except msgspec.ValidationError:
        return None
    entries = [(name, Entry(value, version)) for name, (value, version) in read.entries.items()]
    return Difference(Stamp(Epoch(*read.epoch), read.version), 0, entries)


class Owed:
    """At an owner: what it wrote that agents which are attached elsewhere do not hold yet."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._packed: dict[str, tuple[Stamp, bytes]] = {}

    def of(self, elsewhere: Mapping[str, Report]) -> dict[str, bytes]:
        """By node; ``elsewhere`` is what these agents report to others."""
        packed: dict[str, tuple[Stamp, bytes]] = {}
        left_bytes = MOST_BYTES
        for node, report in sorted(elsewhere.items()):
            at = self._link.parent.written_at(node)
            if at is None or report.configured is None or at <= report.configured:
                continue
            known = self._packed.get(node)
            if known is None or known[0] != at:
                known = at, as_entry(self._link.parent.written(node))
            left_bytes -= len(known[1])
            if left_bytes < 0:
                break
            packed[node] = known
        self._packed = packed
        return {node: raw for node, (_, raw) in packed.items()}
