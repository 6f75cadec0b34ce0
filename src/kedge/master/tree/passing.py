"""What a sub-master passes on between the master and the sub-masters below it: names, and nothing else.

Down, the master writes into the one configured record that a sub-master has:

    child/NAME          a sub-master below: the token that lets it join, or the key that it has since
    below/NAME/ENTRY    an entry of that one's own configured record

Up, a sub-master adds to its one discovered record:

    child/NAME          whether that one is attached here, its epoch, its key, its address
    below/NAME/ENTRY    an entry of that one's discovered record, as it came

So one below another is one more ``below/NAME/`` in front of the same entry. Whoever passes on puts the name
in front itself, and only for those that the master put below it: nobody can speak for another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import msgspec

from kedge.master.tree.entries import BELOW, CHILD, pack, unpack
from kedge.sync.wire import LARGE, NAME_MAX_BYTES, Epoch

MOST_DEPTH = 4
"""How many sub-masters there may be one below the other."""
MOST_WAY_BYTES = 128
"""How much of an entry's name may go to the names of those that pass it on."""
MOST_ENTRIES, MOST_BYTES = LARGE.entries // 2, LARGE.size_bytes // 2
"""How much of a record may be of others: the other half is the sub-master's own."""

Changes = Mapping[str, bytes | None]


class Apart(NamedTuple):
    """Changes of a record: the sub-master's own, those of its children by name, and what of them is told."""

    own: dict[str, bytes | None]
    children: dict[str, bytes | None]
    below: dict[str, dict[str, bytes | None]]


def apart(changes: Changes) -> Apart:
    """Take changes of a record apart, at either end of it."""
    found = Apart({}, {}, {})
    for name, raw in changes.items():
        if name.startswith(BELOW):
            child, slash, entry = name.removeprefix(BELOW).partition("/")
            if child and slash and entry:
                found.below.setdefault(child, {})[entry] = raw
        elif name.startswith(CHILD):
            found.children[name.removeprefix(CHILD)] = raw
        else:
            found.own[name] = raw
    return found


def before(way: tuple[str, ...]) -> str:
    """What stands before an entry's name in the record of the first of a way."""
    return "".join(f"{BELOW}{name}/" for name in way[1:])


class Admission(msgspec.Struct, frozen=True):
    """What the master says of a sub-master below another: the epoch of its join; with a ``token`` as long as
    it may join (``until``, wall clock), with a ``key`` when it has."""

    term: int = 0
    counter: int = 0
    token: bytes = b""
    key: bytes = b""
    until: float = 0.0

    @property
    def epoch(self) -> Epoch:
        """The epoch of the join."""
        return Epoch(self.term, self.counter)

    def __repr__(self) -> str:  # never the token or the key
        return f"Admission({self.epoch})"


class Standing(msgspec.Struct, frozen=True):
    """What is told upwards of a sub-master below: its epoch and key from its join on."""

    attached: bool
    term: int = 0
    counter: int = 0
    key: bytes = b""
    address: str = ""
    why: str = ""

    @property
    def epoch(self) -> Epoch:
        """The epoch of its last join."""
        return Epoch(self.term, self.counter)

    def __repr__(self) -> str:  # never the key
        return f"Standing({self.epoch}, attached={self.attached})"


Told = TypeVar("Told", Admission, Standing)


def read(raw: bytes | None, kind: type[Told]) -> Told | None:
    """What is told of a child, or None for nothing and for what cannot be read."""
    told = unpack(raw)
    try:
        return msgspec.convert(told, kind) if told is not None else None
    except msgspec.ValidationError:
        return None


def written(told: Admission | Standing) -> bytes:
    """The same as it travels."""
    return pack({name: getattr(told, name) for name in told.__struct_fields__})


def _child(entry: str) -> tuple[str, str]:
    """Of an entry that is a child's standing, at whatever depth: what is in front of it, and its name."""
    front, rest = "", entry
    while rest.startswith(BELOW):
        passer, _, rest = rest.removeprefix(BELOW).partition("/")
        front += f"{BELOW}{passer}/"
    return front, rest.removeprefix(CHILD) if rest.startswith(CHILD) else ""


class PassingDown:
    """What each child is told: the part of this record that is its own. ``listed`` are the children."""

    def __init__(self) -> None:
        self.listed: set[str] = set()

    def take(self, entries: Mapping[str, bytes], changes: Changes) -> dict[str, Changes]:
        """The changes for each child, of a record that is ``entries`` now; all of it for a new one."""
        came = apart(changes)
        listed = {name.removeprefix(CHILD) for name in entries if name.startswith(CHILD)}
        fresh, self.listed = listed - self.listed, listed
        found: dict[str, Changes] = {n: c for n, c in came.below.items() if n in listed - fresh}
        if fresh:
            whole = apart(entries).below
            found.update({name: whole[name] for name in fresh if name in whole})
        return found


class PassingUp:
    """What is told of the children: of each what it reported in the boot in which it joined last.

    Together they may fill half of a record. Names in it are never free again, so they count on.
    """

    def __init__(self, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        self._most_entries, self._most_bytes = most_entries, most_bytes
        self._passed: dict[str, dict[str, int]] = {}  # of each child its entries, and their sizes
        self._entries = self._bytes = 0
        self._refused: dict[str, set[str]] = {}
        self._joins: dict[str, Epoch] = {}  # of those further down

    @property
    def children(self) -> set[str]:
        """Those that are spoken for."""
        return set(self._passed)

    @property
    def refused(self) -> dict[str, int]:
        """How many entries of each child are not passed on, since they have no room."""
        return {name: len(entries) for name, entries in self._refused.items() if entries}

    def list(self, name: str, standing: Standing) -> dict[str, bytes | None]:
        """The master puts a sub-master below this one, or says so again."""
        self._passed.setdefault(name, {})
        return self.stands(name, standing)

    def drop(self, name: str) -> dict[str, bytes | None]:
        """It is below this one no more."""
        if name not in self._passed:
            return {}
        gone = self._void(name)
        del self._passed[name]
        return {**gone, CHILD + name: None}

    def joined(self, name: str, standing: Standing) -> dict[str, bytes | None]:
        """Another process has the name: what the former one told is void, with the same change."""
        if name not in self._passed:
            return {}
        return {**self._void(name), **self.stands(name, standing)}

    def stands(self, name: str, standing: Standing) -> dict[str, bytes | None]:
        """It came, or is silent; what it told stays."""
        return {CHILD + name: written(standing)} if name in self._passed else {}

    def told(self, name: str, changes: Changes) -> dict[str, bytes | None]:
        """It reports. What has no room is not told, and counted."""
        passed, found = self._passed.get(name), dict[str, bytes | None]()
        if passed is None:
            return found
        refused = self._refused.setdefault(name, set())
        for entry, raw in {**self._voided(name, changes), **changes}.items():
            full = f"{BELOW}{name}/{entry}"
            size_bytes = len(full) + len(raw) if raw is not None else 0
            grown = size_bytes - passed.get(entry, 0)
            if self._fits(full, grown, fresh=entry not in passed):
                refused.discard(entry)
            else:
                refused.add(entry)
                if entry not in passed:
                    continue
                raw, size_bytes, grown = None, 0, -passed[entry]
            self._entries += entry not in passed
            self._bytes += grown
            passed[entry] = size_bytes
            found[full] = raw
        return found

    def _voided(self, name: str, changes: Changes) -> dict[str, None]:
        """What a former process told that is further down and has joined anew. The one that it is below may
        have begun anew itself, and not know that it passed this on."""
        found: dict[str, None] = {}
        for entry, raw in changes.items():
            front, child = _child(entry)
            told = read(raw, Standing) if child else None
            if told is not None:
                known = self._joins.setdefault(f"{name}/{entry}", told.epoch)
                if told.epoch > known:
                    self._joins[f"{name}/{entry}"] = told.epoch
                    of_it = f"{front}{BELOW}{child}/"
                    found.update(
                        dict.fromkeys(n for n in self._passed[name] if n.startswith(of_it))
                    )
        return found

    def _fits(self, full: str, grown: int, *, fresh: bool) -> bool:
        if len(full.encode()) > NAME_MAX_BYTES or self._entries + fresh > self._most_entries:
            return False
        return grown <= 0 or self._bytes + grown <= self._most_bytes

    def _void(self, name: str) -> dict[str, bytes | None]:
        """All that it told is unknown."""
        passed = self._passed[name]
        self._bytes -= sum(passed.values())
        self._passed[name] = dict.fromkeys(passed, 0)
        self._refused.pop(name, None)
        return {f"{BELOW}{name}/{entry}": None for entry in passed}
