"""Records: one writer's named values, their versions, and the differences that travel.

An entry's version is the record's version when it changed last, so that the difference since any
version is the entries above it. A record is ordered by (epoch, version) of its writer; the merge
takes the greater, whatever the network did in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import NEVER, Epoch


class Entry(NamedTuple):
    """A value (None: unknown) and the record's version when it changed last."""

    value: bytes | None
    version: int


class Stamp(NamedTuple):
    """Which state of a record: ordered, since a writer's epochs and versions only grow."""

    epoch: Epoch
    version: int


NOTHING = Stamp(NEVER, 0)


def hash_entries(entries: Mapping[str, Entry]) -> bytes:
    """The 128-bit BLAKE2b over all names and values, in the order of the names' bytes."""
    digest = hashlib.blake2b(digest_size=wire.HASH_BYTES)
    for encoded, name in sorted((name.encode(), name) for name in entries):
        value = entries[name].value
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
        if value is None:
            digest.update(b"\0")
        else:
            digest.update(b"\1" + len(value).to_bytes(4, "big") + value)
    return digest.digest()


class Outgoing:
    """A record that this end writes."""

    __slots__ = ("_hash", "_size_bytes", "entries", "epoch", "version")

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch
        self.version = 0
        self.entries: dict[str, Entry] = {}
        self._hash: bytes | None = None
        self._size_bytes = 0

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.epoch, self.version)

    @property
    def hash(self) -> bytes:
        if self._hash is None:
            self._hash = hash_entries(self.entries)
        return self._hash

    def write(self, changes: Mapping[str, bytes | None]) -> bool:
        """Set names to values, None for unknown; one new version. False when nothing differs."""
        fresh = {
            name: value
            for name, value in changes.items()
            if (self.entries[name].value != value if name in self.entries else value is not None)
        }
        if not fresh:
            return False
        size_bytes = self._size_bytes
        for name, value in fresh.items():
            _check(name, value)
            old = self.entries.get(name)
            size_bytes += _size_bytes(name, value) - (_size_bytes(name, old.value) if old else 0)
        too_many = len(self.entries.keys() | fresh.keys()) > wire.RECORD_MAX_ENTRIES
        if too_many or size_bytes > wire.RECORD_MAX_BYTES:
            raise KedgeError(
                "sync.record_too_large",
                f"a record holds at most {wire.RECORD_MAX_ENTRIES} entries"
                f" and {wire.RECORD_MAX_BYTES} bytes",
                why=f"it would hold {size_bytes} bytes",
            )
        self.version += 1
        for name, value in fresh.items():
            self.entries[name] = Entry(value, self.version)
        self._size_bytes = size_bytes
        self._hash = None
        return True

    def declare(self) -> bool:
        """Let the record count as written even when it is empty: the peer's copy is to be so too."""
        if self.version:
            return False
        self.version = 1
        return True

    def outrun(self, version: int) -> None:
        """Go on after ``version``, which the peer holds from a predecessor of this process."""
        if version >= self.version:
            self.version = version + 1

    def difference(self, base: int) -> pb.Record:
        """The entries that changed after version ``base``; base 0 is all of them."""
        record = pb.Record(base=base, version=self.version)
        wire.fill_epoch(record.epoch, self.epoch)
        for name, entry in self.entries.items():
            if entry.version > base or base == 0:
                part = record.entries.add(name=name, version=entry.version)
                if entry.value is not None:
                    part.value = entry.value
        return record

    def restore(self, record: pb.Record) -> None:
        """Take over what a predecessor saved with ``difference(0)``."""
        self.version = record.version
        self.entries = {part.name: _entry(part) for part in record.entries}
        self._size_bytes = sum(_size_bytes(n, e.value) for n, e in self.entries.items())
        self._hash = None


class Outcome(Enum):
    """What a received difference did."""

    APPLIED = "applied"
    STALE = "stale"  # nothing new in it
    GAP = "gap"  # it builds on a version that is not held


class Incoming:
    """A record that the other end writes, as far as it is known here."""

    __slots__ = ("_hash", "doubtful", "entries", "stamp")

    def __init__(self) -> None:
        self.stamp = NOTHING
        self.entries: dict[str, Entry] = {}
        self.doubtful = False
        self._hash: bytes | None = None

    @property
    def hash(self) -> bytes:
        if self._hash is None:
            self._hash = hash_entries(self.entries)
        return self._hash

    def values(self) -> dict[str, bytes]:
        """The entries that are known."""
        return {name: e.value for name, e in self.entries.items() if e.value is not None}

    def compare(self, stamp: Stamp, digest: bytes) -> bool:
        """Doubt what is held when the writer's hash differs at the same version; True if new."""
        if self.doubtful or stamp != self.stamp or stamp == NOTHING or digest == self.hash:
            return False
        self.doubtful = True
        return True

    def apply(self, record: pb.Record, epoch: Epoch) -> tuple[Outcome, dict[str, bytes | None]]:
        """Merge a difference of the writer's ``epoch``; says what changed here.

        The caller has checked the record with ``acceptable``. Nothing changes unless APPLIED.
        """
        stamp = Stamp(epoch, record.version)
        if record.base == 0:
            if stamp < self.stamp or (stamp == self.stamp and not self.doubtful):
                return Outcome.STALE, {}
            entries = {part.name: _entry(part) for part in record.entries}
        else:
            if stamp <= self.stamp:
                return Outcome.STALE, {}
            if epoch != self.stamp.epoch or record.base > self.stamp.version:
                return Outcome.GAP, {}
            entries = dict(self.entries)
            for part in record.entries:
                held = entries.get(part.name)
                if held is None or part.version > held.version:
                    entries[part.name] = _entry(part)
        changes = _changes(self.entries, entries)
        self.entries = entries
        self.stamp = stamp
        self._hash = None
        if record.base == 0:
            self.doubtful = False
        return Outcome.APPLIED, changes

    def saved(self) -> pb.Record:
        """All of it, for a successor's ``restore``."""
        record = pb.Record(version=self.stamp.version)
        wire.fill_epoch(record.epoch, self.stamp.epoch)
        for name, entry in self.entries.items():
            part = record.entries.add(name=name, version=entry.version)
            if entry.value is not None:
                part.value = entry.value
        return record

    def restore(self, record: pb.Record) -> None:
        """Take over what a predecessor held."""
        self.stamp = Stamp(Epoch(record.epoch.term, record.epoch.counter), record.version)
        self.entries = {part.name: _entry(part) for part in record.entries}
        self._hash = None


def acceptable(record: pb.Record) -> bool:
    """Whether a received record is within the protocol's limits and consistent in itself."""
    if not 0 < record.version <= wire.NUMBER_MAX or record.base >= record.version:
        return False
    if len(record.entries) > wire.RECORD_MAX_ENTRIES or wire.parse_epoch(record.epoch) is None:
        return False
    for part in record.entries:
        if not record.base < part.version <= record.version:
            return False
        if not 0 < len(part.name.encode()) <= wire.NAME_MAX_BYTES:
            return False
        if len(part.value) > wire.VALUE_MAX_BYTES:
            return False
    return True


def _changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> dict[str, bytes | None]:
    changes: dict[str, bytes | None] = {}
    for name, entry in after.items():
        held = before.get(name)
        if (held.value if held else None) != entry.value:
            changes[name] = entry.value
    for name, held in before.items():
        if name not in after and held.value is not None:
            changes[name] = None
    return changes


def _entry(part: pb.Entry) -> Entry:
    return Entry(part.value if part.HasField("value") else None, part.version)


def _size_bytes(name: str, value: bytes | None) -> int:
    return len(name.encode()) + len(value or b"") + 32


def _check(name: str, value: bytes | None) -> None:
    if not 0 < len(name.encode()) <= wire.NAME_MAX_BYTES:
        raise KedgeError(
            "sync.bad_name",
            f"an entry's name has 1 to {wire.NAME_MAX_BYTES} bytes",
            where=name[:80],
        )
    if value is not None and len(value) > wire.VALUE_MAX_BYTES:
        raise KedgeError(
            "sync.value_too_large",
            f"a value has at most {wire.VALUE_MAX_BYTES} bytes, this one {len(value)}",
            where=name,
        )
