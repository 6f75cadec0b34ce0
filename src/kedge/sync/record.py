"""Records: one writer's named values, their versions, and the differences that travel.

An entry's version is the record's version when it changed last, so that the difference since any
version is the entries above it. A record is ordered by (epoch, version) of its writer; the merge
takes the greater, whatever the network did in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.digest import TREE_FROM_ENTRIES, Entry, TreeHash, flat_hash
from kedge.sync.v1 import sync_pb2 as pb
from kedge.sync.wire import NEVER, Epoch, Limits


class Stamp(NamedTuple):
    """Which state of a record: ordered, since a writer's epochs and versions only grow."""

    epoch: Epoch
    version: int


NOTHING = Stamp(NEVER, 0)


class Outgoing:
    """A record that this end writes."""

    __slots__ = ("_flat", "_recent", "_size_bytes", "_tree", "entries", "epoch", "version")

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch
        self.version = 0
        self.entries: dict[str, Entry] = {}
        self._recent: dict[str, None] = {}  # all names, those that changed last at the end
        self._flat: bytes | None = None
        self._tree = TreeHash()
        self._size_bytes = 0

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.epoch, self.version)

    @property
    def hash(self) -> bytes:
        """The flat hash."""
        if self._flat is None:
            self._flat = flat_hash(self.entries)
        return self._flat

    @property
    def tree_hash(self) -> bytes:
        """The hash for peers that know it."""
        return self._tree.of(self.entries)

    def fits(self, limits: Limits) -> bool:
        """Whether a peer with these limits takes the record."""
        return len(self.entries) <= limits.entries and self._size_bytes <= limits.size_bytes

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
        count = len(self.entries) + sum(name not in self.entries for name in fresh)
        if count > wire.LARGE.entries or size_bytes > wire.LARGE.size_bytes:
            raise KedgeError(
                "sync.record_too_large",
                f"a record holds at most {wire.LARGE.entries} entries"
                f" and {wire.LARGE.size_bytes} bytes",
                why=f"it would hold {size_bytes} bytes",
            )
        self.version += 1
        for name, value in fresh.items():
            self.entries[name] = Entry(value, self.version)
            self._recent.pop(name, None)
            self._recent[name] = None
        self._size_bytes = size_bytes
        self._flat = None
        self._tree.changed(fresh)
        return True

    def succeed(self, epoch: Epoch) -> bool:
        """Begin a later tenure with an empty record that says nothing yet; False where this is the one."""
        if epoch <= self.epoch:
            return False
        self.epoch, self.version, self.entries = epoch, 0, {}
        self._recent, self._size_bytes, self._flat = {}, 0, None
        self._tree.replaced()
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
        for name in self._since(base):
            entry = self.entries[name]
            part = record.entries.add(name=name, version=entry.version)
            if entry.value is not None:
                part.value = entry.value
        return record

    def _since(self, base: int) -> list[str]:
        if base == 0:
            return list(self.entries)
        if len(self.entries) < TREE_FROM_ENTRIES:
            return [name for name, entry in self.entries.items() if entry.version > base]
        names: list[str] = []
        for name in reversed(self._recent):
            if self.entries[name].version <= base:
                break
            names.append(name)
        names.reverse()
        return names

    def restore(self, record: pb.Record) -> None:
        """Take over what a predecessor saved with ``difference(0)``."""
        self.version = record.version
        self.entries = {part.name: _entry(part) for part in record.entries}
        by_version = sorted(self.entries, key=lambda name: self.entries[name].version)
        self._recent = dict.fromkeys(by_version)
        self._size_bytes = sum(_size_bytes(n, e.value) for n, e in self.entries.items())
        self._flat = None
        self._tree.replaced()


class Outcome(Enum):
    """What a received difference did."""

    APPLIED = "applied"
    STALE = "stale"  # nothing new in it
    GAP = "gap"  # it builds on a version that is not held


class Incoming:
    """A record that the other end writes, as far as it is known here."""

    __slots__ = ("_flat", "_tree", "doubtful", "entries", "stamp")

    def __init__(self) -> None:
        self.stamp = NOTHING
        self.entries: dict[str, Entry] = {}
        self.doubtful = False
        self._flat: bytes | None = None
        self._tree = TreeHash()

    @property
    def hash(self) -> bytes:
        """The flat hash."""
        if self._flat is None:
            self._flat = flat_hash(self.entries)
        return self._flat

    @property
    def tree_hash(self) -> bytes:
        """The hash for peers that know it."""
        return self._tree.of(self.entries)

    def values(self) -> dict[str, bytes]:
        """The entries that are known."""
        return {name: e.value for name, e in self.entries.items() if e.value is not None}

    def compare(self, stamp: Stamp, digest: bytes, *, tree: bool = False) -> bool:
        """Doubt what is held when the writer's hash differs at the same version; True if new."""
        if self.doubtful or stamp != self.stamp or stamp == NOTHING:
            return False
        if digest == (self.tree_hash if tree else self.hash):
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
            changes = _changes(self.entries, entries)
            self.entries = entries
            self._tree.replaced()
            self.doubtful = False
        else:
            if stamp <= self.stamp:
                return Outcome.STALE, {}
            if epoch != self.stamp.epoch or record.base > self.stamp.version:
                return Outcome.GAP, {}
            changes = self._merge(record)
        self.stamp = stamp
        self._flat = None
        return Outcome.APPLIED, changes

    def _merge(self, record: pb.Record) -> dict[str, bytes | None]:
        changes: dict[str, bytes | None] = {}
        written: list[str] = []
        for part in record.entries:
            name = part.name
            held = self.entries.get(name)
            if held is None or part.version > held.version:
                entry = self.entries[name] = _entry(part)
                written.append(name)
                if (held.value if held else None) != entry.value:
                    changes[name] = entry.value
        self._tree.changed(written)
        return changes

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
        self._flat = None
        self._tree.replaced()


def acceptable(record: pb.Record, limits: Limits = wire.LARGE) -> bool:
    """Whether a received record is within the session's limits and consistent in itself."""
    if not 0 < record.version <= wire.NUMBER_MAX or record.base >= record.version:
        return False
    if len(record.entries) > limits.entries or wire.parse_epoch(record.epoch) is None:
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
