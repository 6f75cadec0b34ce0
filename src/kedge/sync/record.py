"""Records: one writer's named values at both ends, and the merge, which takes the greater of two
states or entries, whatever the network did in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from kedge.lib.errors import KedgeError
from kedge.sync import wire
from kedge.sync.difference import NOTHING, Difference, Stamp
from kedge.sync.digest import TREE_FROM_ENTRIES, Entry, Hashes
from kedge.sync.wire import Epoch, Limits


class Outgoing:
    """A record that this end writes."""

    __slots__ = ("_hashes", "_recent", "_size_bytes", "entries", "is_relayed", "stamp")

    def __init__(self, epoch: Epoch) -> None:
        self.is_relayed = False
        """Whether another end wrote it: then it is passed on as it came, and nothing is added to it."""
        self.stamp = Stamp(epoch, 0)
        self.entries: dict[str, Entry] = {}
        self._recent: dict[str, None] = {}  # all names, those that changed last at the end
        self._hashes = Hashes()
        self._size_bytes = 0

    @property
    def epoch(self) -> Epoch:
        return self.stamp.epoch

    @property
    def version(self) -> int:
        return self.stamp.version

    @property
    def hash(self) -> bytes:
        """The flat hash."""
        return self._hashes.flat(self.entries)

    @property
    def tree_hash(self) -> bytes:
        """The hash for peers that know it."""
        return self._hashes.tree(self.entries)

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
        version = self.version + 1
        self.stamp = Stamp(self.epoch, version)
        for name, value in fresh.items():
            self.entries[name] = Entry(value, version)
            self._recent.pop(name, None)
            self._recent[name] = None
        self._size_bytes = size_bytes
        self._hashes.changed(self.entries, fresh)
        return True

    def succeed(self, epoch: Epoch) -> bool:
        """Begin a later tenure with an empty record that says nothing yet; False where this is the one."""
        if epoch <= self.epoch:
            return False
        self._silence(epoch)
        return True

    def _silence(self, epoch: Epoch) -> None:
        self.stamp, self.entries, self.is_relayed = Stamp(epoch, 0), {}, False
        self._recent, self._size_bytes = {}, 0
        self._hashes.replaced()

    def relay(self, written: Difference) -> bool:
        """Take over a whole record that another end wrote; False where it is no later one than this."""
        if written.stamp <= self.stamp:
            return False
        self.stamp, self.is_relayed = written.stamp, True
        self.restore(written)
        return True

    def withdraw(self) -> bool:
        """Say nothing any more of what another end wrote; False where nothing is said of it."""
        if not self.is_relayed or not self.version:
            return False
        self._silence(self.epoch)
        self.is_relayed = True
        return True

    def declare(self) -> bool:
        """Let the record count as written even when it is empty: the peer's copy is to be so too."""
        if self.version:
            return False
        self.stamp = Stamp(self.epoch, 1)
        return True

    def outrun(self, version: int) -> None:
        """Go on after ``version``, which the peer holds from a predecessor of this process."""
        if version >= self.version:
            self.stamp = Stamp(self.epoch, version + 1)

    def difference(self, base: int) -> Difference:
        """The entries that changed after version ``base``; base 0 is all of them."""
        entries = self.entries
        return Difference(self.stamp, base, [(name, entries[name]) for name in self._since(base)])

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

    def restore(self, saved: Difference) -> None:
        """Take over what a predecessor saved with ``difference(0)``."""
        self.stamp = Stamp(self.epoch, saved.stamp.version)
        self.entries = dict(saved.entries)
        by_version = sorted(self.entries, key=lambda name: self.entries[name].version)
        self._recent = dict.fromkeys(by_version)
        self._size_bytes = sum(_size_bytes(n, e.value) for n, e in self.entries.items())
        self._hashes.replaced()


class Outcome(Enum):
    """What a received difference did."""

    APPLIED = "applied"
    STALE = "stale"  # nothing new in it
    GAP = "gap"  # it builds on a version that is not held


class Incoming:
    """A record that the other end writes, as far as it is known here."""

    __slots__ = ("_hashes", "doubtful", "entries", "stamp")

    def __init__(self) -> None:
        self.stamp = NOTHING
        self.entries: dict[str, Entry] = {}
        self.doubtful = False
        self._hashes = Hashes()

    @property
    def hash(self) -> bytes:
        """The flat hash."""
        return self._hashes.flat(self.entries)

    @property
    def tree_hash(self) -> bytes:
        """The hash for peers that know it."""
        return self._hashes.tree(self.entries)

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

    def apply(self, difference: Difference) -> tuple[Outcome, dict[str, bytes | None]]:
        """Merge a difference; says what changed here. Nothing changes unless APPLIED."""
        stamp, base, entries = difference
        if base == 0:
            if stamp < self.stamp or (stamp == self.stamp and not self.doubtful):
                return Outcome.STALE, {}
            before, self.entries = self.entries, dict(entries)
            changes = _changes(before, self.entries)
            self._hashes.replaced()
            self.doubtful = False
        else:
            if stamp <= self.stamp:
                return Outcome.STALE, {}
            if stamp.epoch != self.stamp.epoch or base > self.stamp.version:
                return Outcome.GAP, {}
            changes = self._merge(entries)
        self.stamp = stamp
        return Outcome.APPLIED, changes

    def follow(self, entries: list[tuple[str, Entry]]) -> dict[str, bytes | None]:
        """Merge the entries of the very next version; says what changed here."""
        epoch, version = self.stamp
        self.stamp = Stamp(epoch, version + 1)
        return self._merge(entries)

    def _merge(self, entries: list[tuple[str, Entry]]) -> dict[str, bytes | None]:
        changes: dict[str, bytes | None] = {}
        written: list[str] = []
        ours = self.entries
        for name, entry in entries:
            held = ours.get(name)
            if held is None or entry.version > held.version:
                ours[name] = entry
                written.append(name)
                if (None if held is None else held.value) != entry.value:
                    changes[name] = entry.value
        self._hashes.changed(ours, written)
        return changes

    def saved(self) -> Difference:
        """All of it, for a successor's ``restore``."""
        return Difference(self.stamp, 0, list(self.entries.items()))

    def restore(self, saved: Difference) -> None:
        """Take over what a predecessor held."""
        self.stamp = saved.stamp
        self.entries = dict(saved.entries)
        self._hashes.replaced()


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
