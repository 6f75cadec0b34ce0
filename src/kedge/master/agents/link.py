"""The parent's socket: datagrams between the agents and the pure protocol of `kedge.sync`."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping

from kedge.master.agents.permits import BootPermit
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.master.transport.pump import Pump
from kedge.sync.difference import Difference
from kedge.sync.door import ParentOptions
from kedge.sync.events import Joined, ParentEvent
from kedge.sync.parent import Parent
from kedge.sync.wire import Epoch

KIND = "node_key"
ORDER = "order/"
DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
PERMIT_LASTS_S = 600.0
ADOPTED_S = 300.0
"""How long orders of a former owner wait for the step that they belong to."""


def peer_of(name: str) -> str:
    """The sync's name of a sub-master; no node has a name that begins so."""
    return f"@{name}"


def is_peer(name: str) -> bool:
    """Whether the sync's name is a sub-master's."""
    return name.startswith("@")


class Link:
    """A `Parent`, what it says to each node, and the keys that it knows; tells events to ``told``."""

    def __init__(
        self,
        settings: Settings,
        writes: LateWrites,
        host: Host,
        term: int,
        told: Callable[[ParentEvent], None],
    ) -> None:
        self._settings = settings
        self._writes = writes
        self._host = host
        self._clock = host.clock
        self.told = told
        self._records: dict[str, dict[str, bytes]] = {}
        self._written: dict[str, Epoch] = {}  # in which tenure a record was last written whole
        self.keys: dict[str, tuple[Epoch, bytes]] = {}
        self.ended: dict[str, Epoch] = {}
        """The boot of each node that was over when one was begun from here."""
        self._adopted: set[tuple[str, str]] = set()
        self.tenure: Callable[[str], Epoch | None] = lambda _: own_tenure
        own_tenure = Epoch(term, 0)
        self.parent = Parent(
            incarnation=Epoch(0, 0),
            random_bytes=host.random_bytes,
            chance=random.Random(host.random_number()),
            options=ParentOptions(heartbeat_s=settings.heartbeat_s, large=is_peer),
        )
        self._pump = Pump(self.parent, host.clock, self._hear)
        for node, record in writes.records(KIND).items():
            epoch = Epoch(record["term"], record["counter"])
            self.keys[node] = (epoch, base64.b64decode(record["key"]))
            self.parent.know(node, *self.keys[node])

    async def open(self) -> None:
        """Bind the socket; raises `KedgeError` when the port is taken."""
        sock = self._host.open_socket(self._settings.sync_address, self._settings.sync_port)
        await self._pump.open(sock)

    def put(self, node: str, name: str, value: bytes | None) -> None:
        """Set (None: remove) an entry of the configured record of ``node``."""
        self.put_all(node, {name: value})

    def put_all(self, node: str, entries: Mapping[str, bytes | None]) -> None:
        """Set or remove several entries at once."""
        record = self._records.setdefault(node, {})
        for name, value in entries.items():
            if value is None:
                record.pop(name, None)
            else:
                record[name] = value
        tenure = self.tenure(node)
        if tenure is not None and self._written.get(node) == tenure:
            self.parent.change_configured(node, entries)  # however large the record is
            self._pump.soon()
        else:
            self.write(node)

    def write(self, node: str) -> None:
        """Let the node's record travel, if it is ours to write."""
        tenure = self.tenure(node)
        if tenure is not None and node in self._records:
            self.parent.set_configured(node, self._records[node], tenure)
            self._written[node] = tenure
            self._pump.soon()

    def relay(self, node: str, written: Difference | None) -> None:
        """Pass on what the owner of a node wrote, or (None) not any more, unless it is ours to write."""
        if self.tenure(node) is None:
            self._written.pop(node, None)
            self.parent.relay_configured(node, written)
            self._pump.soon()

    def entry(self, node: str, name: str) -> bytes | None:
        """An entry of the configured record of ``node``."""
        return self._records.get(node, {}).get(name)

    def orders(self, node: str) -> dict[str, bytes]:
        """The orders in the configured record of ``node``, by mutation."""
        record = self._records.get(node, {})
        return {n.removeprefix(ORDER): raw for n, raw in record.items() if n.startswith(ORDER)}

    def ordered_digests(self) -> Iterator[str]:
        """The digests that orders to agents name."""
        for record in self._records.values():
            for name, raw in record.items():
                if name.startswith(ORDER):
                    yield from (found.decode() for found in DIGEST.findall(raw))

    def adopt(self, node: str, orders: Mapping[str, bytes]) -> None:
        """Orders that the node's agent has from another owner: they go on, until they are taken for
        steps of this one (`claim`) or dropped."""
        record = self._records.setdefault(node, {})
        for mutation, raw in orders.items():
            record[ORDER + mutation] = raw
            self._adopted.add((node, mutation))

    def claim(self, node: str, mutation: str) -> bytes | None:
        """The adopted order of a mutation, which is a step's own from now on."""
        if (node, mutation) not in self._adopted:
            return None
        self._adopted.discard((node, mutation))
        return self._records[node].get(ORDER + mutation)

    def drop_adopted(self, nodes: Collection[str]) -> None:
        """Withdraw the adopted orders of ``nodes`` that no step has claimed."""
        for node, mutation in [key for key in self._adopted if key[0] in nodes]:
            self._adopted.discard((node, mutation))
            self.put(node, ORDER + mutation, None)

    def know(self, node: str, epoch: Epoch, key: bytes) -> bool:
        """A node has joined elsewhere in the tree: it may resume here. False: that is nothing new."""
        known = self.keys.get(node)
        if known is not None and known[0] >= epoch:
            return False
        self.parent.know(node, epoch, key)
        self._keep_key(node, epoch, key)
        return True

    def names(self, node: str) -> tuple[str, ...]:
        """The entries of the configured record of ``node``."""
        return tuple(self._records.get(node, ()))

    def admit(self, permit: BootPermit, lasts_s: float = PERMIT_LASTS_S) -> None:
        """Let the node of a permit join, once."""
        now = self._clock.now()
        epoch = Epoch(permit.term, permit.counter)
        if permit.node in self.keys:
            self.ended[permit.node] = self.keys[permit.node][0]
        self.parent.admit(permit.node, epoch, permit.token, now + lasts_s)

    def revoke(self, node: str) -> None:
        """The token of the node's permit is worth nothing from now on."""
        self.parent.revoke(node)

    def forget(self, node: str) -> None:
        """The site no longer knows the node: nor does the link."""
        self._records.pop(node, None)
        self._written.pop(node, None)
        self.keys.pop(node, None)
        self.ended.pop(node, None)
        self.parent.forget(node)
        self._writes.put(KIND, node, None)

    def _hear(self, event: ParentEvent) -> None:
        if isinstance(event, Joined):
            self._keep_key(event.node, event.epoch, event.node_key)
        self.told(event)

    def _keep_key(self, node: str, epoch: Epoch, key: bytes) -> None:
        self.keys[node] = (epoch, key)
        record = {
            "term": epoch.term,
            "counter": epoch.counter,
            "key": base64.b64encode(key).decode(),
        }
        self._writes.put(KIND, node, record)

    def close(self) -> None:
        """Say good-bye, so that agents seek another parent at once, and close the socket."""
        self._pump.close()
