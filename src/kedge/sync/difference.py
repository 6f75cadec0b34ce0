"""What travels of a record: its entries that changed between two versions, or all of them.

A record is ordered by (epoch, version) of its writer. An entry's version is the record's version when it
changed last, so that the difference since any version is the entries above it.
"""

from __future__ import annotations

from typing import NamedTuple

from kedge.sync import wire
from kedge.sync.digest import Entry
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import NEVER, Epoch, Limits


class Stamp(NamedTuple):
    """Which state of a record: ordered, since a writer's epochs and versions only grow."""

    epoch: Epoch
    version: int


NOTHING = Stamp(NEVER, 0)


class Difference(NamedTuple):
    """The entries that changed after version ``base``; base 0 is all of them."""

    stamp: Stamp  # of the record with it
    base: int
    entries: list[tuple[str, Entry]]

    def message(self) -> pb.Record:
        """As it travels."""
        record = pb.Record(base=self.base, version=self.stamp.version)
        wire.fill_epoch(record.epoch, self.stamp.epoch)
        add = record.entries.add
        for name, entry in self.entries:
            part = add(name=name, version=entry.version)
            if entry.value is not None:
                part.value = entry.value
        return record


def read(record: pb.Record, epoch: Epoch, limits: Limits = wire.LARGE) -> Difference | None:
    """What a message says; None where it is not consistent in itself or beyond the session's limits.

    ``epoch`` is that of a record that names none, and mostly that of the others.
    """
    base, version = record.base, record.version
    parts = record.entries
    if not base < version <= wire.NUMBER_MAX or len(parts) > limits.entries:
        return None
    if record.HasField("epoch"):
        named = wire.parse_epoch(record.epoch, epoch)
        if named is None:
            return None
        epoch = named
    entries: list[tuple[str, Entry]] = []
    for part in parts:
        name, changed, value = part.name, part.version, part.value
        if not base < changed <= version or not 0 < len(name.encode()) <= wire.NAME_MAX_BYTES:
            return None
        if len(value) > wire.VALUE_MAX_BYTES:
            return None
        known = value or part.HasField("value")
        entries.append((name, Entry(value if known else None, changed)))
    return Difference(Stamp(epoch, version), base, entries)
