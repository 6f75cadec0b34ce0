"""Hashes over a record: the flat one of the first release, and the tree that follows changes cheaply.

A tree hash has three levels, as a Merkle tree has them (RFC 6962 sets the levels apart by their first
byte, so does this): a leaf for each entry, 256 buckets of leaves, one root. A change costs its leaf,
its bucket and the root, whatever the size of the record: some 10 us at 10,000 entries, where the flat
hash costs 10 ms. A sum of leaf hashes would be cheaper still, but one of 128 bits can be forged.
"""

from __future__ import annotations

import hashlib
from binascii import crc32
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from kedge.sync import wire

BUCKETS = 256
TREE_FROM_ENTRIES = 64
"""Smaller records have the flat hash in any case: it is as quick as a tree's."""
KEPT_MAX_BYTES = 4096
"""So much of a small record is kept a second time, ready to be hashed."""


class Entry(NamedTuple):
    """A value (None: unknown) and the record's version when it changed last."""

    value: bytes | None
    version: int


class Hashes:
    """The hashes of one record, made when they are asked for; it has to be told of what changes.

    Of a small record that changes now and again the parts of the flat hash are kept, of a large one the
    tree's leaves.
    """

    __slots__ = ("_changes", "_flat", "_leaves", "_parts", "_tree")

    def __init__(self) -> None:
        self._changes = False  # after its hash was made
        self._flat: bytes | None = None
        self._parts: dict[str, bytes] | None = None  # in the order of the names
        self._tree: bytes | None = None
        self._leaves: _Leaves | None = None

    def changed(self, entries: Mapping[str, Entry], names: Iterable[str]) -> None:
        """Of the ``entries`` as they are now those of ``names`` have new values."""
        self._changes = self._changes or self._flat is not None
        self._flat = self._tree = None
        if self._leaves is not None:
            self._leaves.changed.update(names)
        parts = self._parts
        if parts is None:
            return
        for name in names:
            if name not in parts:
                self._parts = None
                return
            parts[name] = _said(name, entries[name].value)

    def replaced(self) -> None:
        """All entries are others."""
        self._flat = self._parts = self._tree = self._leaves = None

    def flat(self, entries: Mapping[str, Entry]) -> bytes:
        """The 128-bit BLAKE2b over all names and values, in the order of the names' bytes."""
        if self._flat is None:
            parts = self._parts
            if parts is None:  # code points sort as their UTF-8 does
                parts = {name: _said(name, entries[name].value) for name in sorted(entries)}
                small = len(parts) < TREE_FROM_ENTRIES and _size_bytes(parts) <= KEPT_MAX_BYTES
                self._parts = parts if small and self._changes else None
            self._flat = _hash(b"".join(parts.values()))
        return self._flat

    def tree(self, entries: Mapping[str, Entry]) -> bytes:
        """The tree hash, which is the flat one of a small record."""
        if len(entries) < TREE_FROM_ENTRIES:
            return self.flat(entries)
        if self._tree is None:
            self._leaves = self._leaves or _Leaves(entries)
            self._tree = self._leaves.root(entries)
        return self._tree


class _Leaves:
    """What is kept of the tree of a large record."""

    __slots__ = ("_buckets", "_leaves", "changed")

    def __init__(self, names: Iterable[str]) -> None:
        self.changed = set(names)  # whose leaves are not those of the entries any more
        self._leaves: dict[int, dict[str, bytes]] = {}  # by bucket and name
        self._buckets: dict[int, bytes] = {}

    def root(self, entries: Mapping[str, Entry]) -> bytes:
        """The hash of the entries as they are now."""
        stale: set[int] = set()
        for name in self.changed:
            bucket = crc32(name.encode()) % BUCKETS
            leaf = _hash(b"\0" + _said(name, entries[name].value))
            self._leaves.setdefault(bucket, {})[name] = leaf
            stale.add(bucket)
        self.changed.clear()
        for bucket in stale:
            leaves = sorted(self._leaves[bucket].values())
            self._buckets[bucket] = _hash(b"\1" + b"".join(leaves))
        parts = (bytes([bucket]) + self._buckets[bucket] for bucket in sorted(self._buckets))
        return _hash(b"\2" + b"".join(parts))


@lru_cache(4096)
def _named(name: str) -> bytes:
    """What stands before a value; the nodes' records have the same few names."""
    encoded = name.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def _said(name: str, value: bytes | None) -> bytes:
    """What the hashes have of an entry."""
    if value is None:
        return _named(name) + b"\0"
    return _named(name) + b"\1" + len(value).to_bytes(4, "big") + value


def _size_bytes(parts: Mapping[str, bytes]) -> int:
    return sum(map(len, parts.values()))


_begun = hashlib.blake2b(digest_size=wire.HASH_BYTES)


def _hash(said: bytes) -> bytes:
    made = _begun.copy()  # in less time than a new one
    made.update(said)
    return made.digest()
