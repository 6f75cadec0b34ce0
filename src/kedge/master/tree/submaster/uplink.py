"""A sub-master's way up: the socket and the child's end of the sync, and the last record kept on disk.

What was configured last is kept entry by entry, so that a sub-master that starts while no master is to
be had goes on with it. The lease is not kept: an answer is worth something only to the process that asked.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.master.agents.link import peer_of
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.master.transport.pump import Pump
from kedge.master.tree.entries import LEASE
from kedge.sync.child import Child
from kedge.sync.events import ChildEvent, Configured, ParentLost, Refused, SessionUp
from kedge.sync.session import Address
from kedge.sync.wire import Epoch

KIND, ABOVE = "uplink", "above"
PORT = 8471


class Uplink:
    """A `Child`, and what it was told last. ``changed`` hears of every new record."""

    changed: Callable[[], None]

    def __init__(self, settings: Settings, writes: LateWrites, host: Host) -> None:
        self._settings, self._writes, self._host = settings, writes, host
        self._clock = host.clock
        kept = writes.records(ABOVE)
        self.entries = {name: base64.b64decode(record["value"]) for name, record in kept.items()}
        self.refused = ""
        self.lost_at: float | None = host.clock.wall()
        self.child = self._child()
        self._pump = Pump(self.child, host.clock, self._hear)

    @property
    def parent(self) -> str:
        """The master that is spoken with, as ``address:port``; empty: none answers."""
        parent = self.child.parent
        return "" if parent is None else f"{parent[0]}:{parent[1]}"

    async def open(self) -> None:
        """Bind the socket."""
        sock = self._host.open_socket(self._settings.sync_address, 0)
        await self._pump.open(sock)

    def report(self, changes: Mapping[str, bytes | None]) -> None:
        """Tell the master: all of it or nothing, with the next datagrams."""
        self.child.discover(changes)
        self._pump.soon()

    def close(self) -> None:
        """Say good-bye and close the socket."""
        self._pump.close()

    def _hear(self, event: ChildEvent) -> None:
        match event:
            case SessionUp():
                self.lost_at, self.refused = None, ""
                saved = base64.b64encode(self.child.export(records=False)).decode()
                self._writes.put(KIND, "session", {"saved": saved})
            case ParentLost():
                self.lost_at = self._clock.wall()
            case Refused(reason=reason):
                self.refused = reason
            case Configured(entries=entries):
                self._keep(dict(entries))
                self.changed()

    def _keep(self, entries: dict[str, bytes]) -> None:
        for name in self.entries.keys() - entries.keys():
            self._writes.put(ABOVE, name, None)
        for name, value in entries.items():
            if name != LEASE and self.entries.get(name) != value:
                self._writes.put(ABOVE, name, {"value": base64.b64encode(value).decode()})
        self.entries = entries

    def _child(self) -> Child:
        settings, host = self._settings, self._host
        join = read_join(settings.join) if settings.join else {}
        parents = addresses(settings.masters or join.get("masters", []))
        chance = random.Random(host.random_number())
        token = base64.b64decode(join.get("token", ""))
        saved = self._writes.records(KIND).get("session")
        epoch = Epoch(int(join.get("term", 0)), int(join.get("counter", 0)))
        if saved is not None:
            child = Child.restore(
                base64.b64decode(saved["saved"]), parents,
                random_bytes=host.random_bytes, chance=chance,
            )  # fmt: skip
            if not token or child.epoch >= epoch:
                return child
        if not token:
            raise KedgeError(
                "submaster.no_join", "this sub-master has no join file", where=settings.name,
                next_step=f"On the master: kedge submaster add {settings.name or 'NAME'}; "
                "then name the file it writes as join: in the configuration",
            )  # fmt: skip
        return Child(
            peer_of(settings.name or join["name"]), epoch, parents,
            random_bytes=host.random_bytes, chance=chance, token=token,
        )  # fmt: skip


def read_join(path: Path) -> dict[str, Any]:
    """What ``kedge submaster add`` wrote; empty where the file is gone, as after the first join it may."""
    try:
        if path.stat().st_mode & 0o077:
            raise KedgeError(
                "submaster.join_readable", "the join file can be read by others",
                where=str(path), next_step=f"chmod 600 {path}",
            )  # fmt: skip
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise KedgeError(
            "submaster.join", "the join file cannot be read", where=str(path), why=str(error)
        ) from None


def addresses(written: list[str] | tuple[str, ...]) -> list[Address]:
    """``10.77.0.1:8471`` as addresses; the port may be left out."""
    found: list[Address] = []
    for text in written:
        host, colon, port = text.rpartition(":")
        if not colon or "]" in port:
            host, port = text, str(PORT)
        if not port.isdecimal() or not host:
            raise KedgeError("settings.invalid", f"masters: {text!r} is no address:port")
        found.append((host.strip("[]"), int(port)))
    if not found:
        raise KedgeError(
            "submaster.no_master", "no master is named", next_step="Set masters: [address:8471]"
        )
    return found
