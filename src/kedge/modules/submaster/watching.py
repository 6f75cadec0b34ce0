"""Which sub-masters are heard from their nodes, looked at all the while.

A node that has just booted is given a moment, as its sub-master may remember how it joined. One that was
heard before, or may have been when this process began, is given longer: links are mended, masters restart.
"""

from __future__ import annotations

import asyncio
import math

from kedge.core.kinds import Value
from kedge.modules.port import Io, Node, Peers
from kedge.site.model import Site

LOOK_S = 1.0
FRESH_S = 10.0
"""So long after its node's boot a sub-master that remembers its join may take until it is heard."""
SILENT_S = 90.0
"""So long one may be silent before it is started anew."""


async def watch(io: Io) -> None:
    """Observe, for as long as it is not cancelled. At a sub-master there is nothing to hear."""
    peers = io.peers
    if peers is None:
        return
    now, hosts = asyncio.get_running_loop().time, Hosts(io)
    while True:
        for node in hosts.now():
            value = hosts.look(node, peers, now())
            if node.seen("submaster.heard") != value:
                io.observe(node.name, {"submaster.heard": value}, by="master")
        await asyncio.sleep(LOOK_S)


class Hosts:
    """The nodes that serve a sub-master, and from when on each one's silence counts."""

    def __init__(self, io: Io) -> None:
        self._io = io
        self._site: Site | None = None
        self._names: list[str] = []
        self._fresh: set[str] = set()
        self._silent_from: dict[str, float] = {}

    def now(self) -> list[Node]:
        """Those of the present site."""
        site = self._io.site
        if site is not self._site:
            self._site = site
            nodes = self._io.nodes()
            self._names = [name for name in nodes if nodes[name].configured("submaster.serves")]
        found = (self._io.node(name) for name in self._names)
        return [node for node in found if node is not None]

    def look(self, node: Node, peers: Peers, now: float) -> Value:
        """The sub-master that is heard from a node; empty: none; None: that is not known yet."""
        name, serves = node.name, str(node.configured("submaster.serves") or "")
        if node.seen("boot.stage") != "running":
            self._fresh.add(name)
            self._silent_from.pop(name, None)
            return None
        if peers.is_heard_on(serves, name):
            self._fresh.discard(name)
            self._silent_from[name] = math.inf
            return serves
        wait_s = FRESH_S if name in self._fresh else SILENT_S
        silent_from = self._silent_from.get(name, math.inf)
        if silent_from == math.inf:
            silent_from = self._silent_from[name] = now + wait_s
        return "" if now >= silent_from else None
