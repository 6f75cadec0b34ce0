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
"""Smaller records have the flat hash in any case: it is as quick as a tree's, and keeps nothing."""


_SIZES = tuple(b"\1" + size.to_bytes(4, "big") for size in range(256))


class Entry(NamedTuple):
    """A value (None: unknown) and the record's version when it changed last."""

    value: bytes | None
    version: int


def flat_hash(entries: Mapping[str, Entry]) -> bytes:
    """The 128-bit BLAKE2b over all names and values, in the order of the names' bytes."""
    said: list[bytes] = []
    for name in sorted(entries):  # code points sort as their UTF-8 does
        value = entries[name].value
        said.append(_named(name))
        if value is None:
            said.append(b"\0")
        else:
            size = len(value)
            said.append(_SIZES[size] if size < 256 else b"\1" + size.to_bytes(4, "big"))
            said.append(value)
    return _hash(b"".join(said))


class TreeHash:
    """The tree hash of one record; it has to be told of what changes."""

    __slots__ = ("_buckets", "_changed", "_leaves", "_root")

    def __init__(self) -> None:
        self._root: bytes | None = None
        self._leaves: dict[int, dict[str, bytes]] | None = None
        self._buckets: dict[int, bytes] = {}
        self._changed: set[str] = set()

    def changed(self, names: Iterable[str]) -> None:
        """These entries have new values."""
        self._root = None
        if self._leaves is not None:
            self._changed.update(names)

    def replaced(self) -> None:
        """All entries are others."""
        self._root = self._leaves = None

    def of(self, entries: Mapping[str, Entry]) -> bytes:
        """The hash of the entries as they are now."""
        if self._root is None:
            if len(entries) < TREE_FROM_ENTRIES:
                self._root = flat_hash(entries)
                return self._root
            if self._leaves is None:
                self._leaves, self._buckets = {}, {}
                self._changed = set(entries)
            self._root = self._follow(entries, self._leaves)
        return self._root

    def _follow(self, entries: Mapping[str, Entry], leaves: dict[int, dict[str, bytes]]) -> bytes:
        stale: set[int] = set()
        for name in self._changed:
            encoded = name.encode()
            bucket = crc32(encoded) % BUCKETS
            leaf = _hash(b"\0" + _said(encoded, entries[name].value))
            leaves.setdefault(bucket, {})[name] = leaf
            stale.add(bucket)
        self._changed = set()
        for bucket in stale:
            self._buckets[bucket] = _hash(b"\1" + b"".join(sorted(leaves[bucket].values())))
        parts = (bytes([bucket]) + self._buckets[bucket] for bucket in sorted(self._buckets))
        return _hash(b"\2" + b"".join(parts))


@lru_cache(4096)
def _named(name: str) -> bytes:
    """What stands before a value; the nodes' records have the same few names."""
    encoded = name.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def _said(name: bytes, value: bytes | None) -> bytes:
    said = len(name).to_bytes(4, "big") + name
    return said + (b"\0" if value is None else b"\1" + len(value).to_bytes(4, "big") + value)


def _hash(said: bytes) -> bytes:
    return hashlib.blake2b(said, digest_size=wire.HASH_BYTES).digest()
