"""At a sub-master: those that the master put below it. It lets them join, hands their records down, and
passes on what they report.

It is their parent in the sync and no more: what they are told is the master's, kept here with all else that
was configured, so it is told again by a process that starts while no master is to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from kedge.lib.errors import KedgeError
from kedge.master.agents.link import Link, is_peer, peer_of
from kedge.master.agents.permits import BootPermit
from kedge.master.process.clock import Clock
from kedge.master.tree.entries import CHILD, NEAR, pack
from kedge.master.tree.passing import Admission, PassingDown, PassingUp, Standing, read
from kedge.master.tree.submaster.uplink import Uplink
from kedge.sync.events import Discovered, Joined, Left, Lost, ParentEvent, Resumed
from kedge.sync.wire import Epoch

STARTS = 1_000_000
"""How many starts a sub-master has room for, from one join to the next."""


class Below:
    """The children that are sub-masters. ``start`` counts the starts of this one."""

    def __init__(self, link: Link, uplink: Uplink, clock: Clock, start: int) -> None:
        self._link, self._uplink, self._clock, self._start = link, uplink, clock, start
        self._down, self._up = PassingDown(), PassingUp()
        self._near: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self.url: Callable[[], str] = lambda: ""
        """Where this one's blobs are served; empty: nowhere."""

    def tenure(self) -> Epoch:
        """How the records of those below are ordered: by this one's join, then by its start."""
        joined = self._uplink.child.epoch
        return Epoch(joined.term, joined.counter * STARTS + self._start)

    def peer_at(self, address: str) -> bool:
        """Whether one of them speaks from this address."""
        return any(self._addresses.get(name) == address for name in self._down.listed)

    @property
    def degraded(self) -> dict[str, str]:
        """What of them is not as it should be."""
        found = {
            f"sub-master {name}": f"{name}, which is below this one, is silent"
            for name in sorted(self._down.listed - self._addresses.keys())
        }
        for name, count in self._up.refused.items():
            found[f"sub-master {name}: reports"] = f"{count} entries have no room on the way up"
        return found

    # ---- down

    def take(self, entries: Mapping[str, bytes], changed: Collection[str]) -> None:
        """The record of this one is ``entries`` now."""
        known = self._down.listed
        told = self._down.take(entries, {name: entries.get(name) for name in changed})
        for name in sorted(known - self._down.listed):
            self._link.forget(peer_of(name))
            self._addresses.pop(name, None)
            self._near.pop(name, None)
            self._uplink.report(self._up.drop(name))
        for name in sorted(self._down.listed):
            if CHILD + name in changed:
                self._admit(name, read(entries[CHILD + name], Admission) or Admission())
            if name not in known:
                # (it may have come before this one knew what it was told last)
                standing = self._up.list(name, self._standing(name, ""))
                came = self._link.parent.discovered(peer_of(name))
                self._uplink.report({**standing, **self._up.told(name, came)})
            changes = dict(told.get(name, {}))
            url = self.url()
            if self._near.get(name) != url:
                self._near[name] = url
                changes[NEAR] = pack(url)
            if changes:
                self._link.put_all(peer_of(name), changes)

    def _admit(self, name: str, told: Admission) -> None:
        """Let it join with its token, or come back with its key; neither twice."""
        peer = peer_of(name)
        known = self._link.keys.get(peer)
        if known is not None and known[0] >= told.epoch:
            return
        try:
            if told.key:
                self._link.know(peer, told.epoch, told.key)
            elif told.token:
                permit = BootPermit(peer, told.term, told.counter, told.token)
                self._link.admit(permit, max(0.0, told.until - self._clock.wall()))
        except KedgeError:
            return  # a key or a token of another length: it is none

    # ---- up

    def told(self, event: ParentEvent) -> bool:
        """Apply an event of the link that is about one of them; False for any other."""
        if not is_peer(event.node):
            return False
        name = event.node[1:]
        match event:
            case Joined() | Resumed():
                self._addresses[name] = event.address[0]
                standing = self._standing(name, "")
                joined = isinstance(event, Joined)
                changes = (self._up.joined if joined else self._up.stands)(name, standing)
            case Lost(silent_s=silent_s):
                self._addresses.pop(name, None)
                why = f"nothing heard for {silent_s:.0f} s"
                changes = self._up.stands(name, self._standing(name, why))
            case Left():
                self._addresses.pop(name, None)
                changes = self._up.stands(name, self._standing(name, "it was stopped"))
            case Discovered(changes=reported):
                changes = self._up.told(name, reported)
            case _:
                return True
        self._uplink.report(changes)
        return True

    def _standing(self, name: str, why: str) -> Standing:
        epoch, key = self._link.keys.get(peer_of(name), (Epoch(0, 0), b""))
        address = self._addresses.get(name, "")
        return Standing(bool(address), epoch.term, epoch.counter, key, address, why)
