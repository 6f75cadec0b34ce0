"""At the master: what each sub-master is told, written where it goes: into its own record, or into that
of the one which passes it on."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from kedge.master.agents.link import Link, peer_of
from kedge.master.agents.permits import Permits
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.tree.entries import CHILD
from kedge.master.tree.master.known import SubMaster
from kedge.master.tree.master.ways import Ways
from kedge.master.tree.passing import Admission, Standing, before, written
from kedge.sync.wire import Epoch

JOINED = "submaster_joined"


class Passages:
    """Writes, and keeps how those below others have joined."""

    def __init__(
        self,
        link: Link,
        permits: Permits,
        writes: LateWrites,
        known: Mapping[str, SubMaster],
        ways: Ways,
    ) -> None:
        self._link, self._permits, self._writes = link, permits, writes
        self._known, self._ways = known, ways
        for name, record in writes.records(JOINED).items():
            if name in ways.above:
                known[name].joined = Epoch(int(record["term"]), int(record["counter"]))
                known[name].key = base64.b64decode(record["key"])

    def put(self, name: str, entries: Mapping[str, bytes | None]) -> None:
        """Write entries for a sub-master into the record of the one that is spoken with."""
        way = self._ways.way(name)
        front = before(way)
        self._link.put_all(peer_of(way[0]), {front + each: raw for each, raw in entries.items()})

    def withdraw(self, known: SubMaster) -> None:
        """Say nothing of what it was told any more; then all of it anew."""
        if known.down:
            self.put(known.name, dict.fromkeys(known.down))
        known.down, known.stale = {}, True

    def end(self, known: SubMaster) -> None:
        """It comes by its way no more, and its key is worth nothing."""
        former = self._ways.above.pop(known.name, None)
        if former is None:
            self._link.forget(peer_of(known.name))
        else:
            self._known[former].stale = True
            self._writes.put(JOINED, known.name, None)
        known.heard, known.joined, known.key = False, None, b""

    def admissions(self, name: str) -> dict[str, bytes]:
        """The entries that tell a sub-master which others are below it."""
        found: dict[str, bytes] = {}
        for child in self._ways.directly_below(name):
            known, permit = self._known[child], self._permits.open.get(peer_of(child))
            told = Admission()
            if permit is not None:
                told = Admission(permit.term, permit.counter, token=permit.token, until=known.until)
            elif known.joined is not None:
                told = Admission(*known.joined, key=known.key)
            found[CHILD + child] = written(told)
        return found

    def keep_join(self, known: SubMaster, told: Standing) -> None:
        """One below another has joined there: it may come back with that key."""
        known.joined, known.key = told.epoch, told.key
        key = base64.b64encode(told.key).decode()
        record = {"term": told.term, "counter": told.counter, "key": key}
        self._writes.put(JOINED, known.name, record)
        self._known[self._ways.above[known.name]].stale = True

    def masters(self, name: str, own: list[str]) -> list[str]:
        """Where a sub-master finds the one above it (``own``: the master); empty: that is not known yet."""
        above = self._ways.above.get(name)
        if above is None:
            return own
        address = self._known[above].health.get("address", "")
        return [address] if address else []
