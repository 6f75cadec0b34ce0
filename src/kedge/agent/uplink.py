"""The agent's way up: one socket and the child's end of the sync, with values as JSON.

The session's keys are kept below ``/run/kedge/agent`` before anything is sent that relies on them, so
that the agent after this one (a crash, the hand-over) goes on without a new token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from kedge.agent.boot_arguments import parent_of
from kedge.agent.machine import Machine
from kedge.agent.place import Place
from kedge.lib.errors import KedgeError
from kedge.sync.child import Child
from kedge.sync.events import Configured, ParentLost, Refused, SessionUp
from kedge.sync.wire import Epoch

PARENTS = "parents"
_DATAGRAM_BYTES = 2048  # more than the protocol's longest
_DATAGRAMS_A_TURN = 64

Say = Callable[[str], None]


class Uplink:
    """Reports up and receives the configured record; `socket` belongs into the caller's selector."""

    def __init__(self, place: Place, say: Say, machine: Machine) -> None:
        self._place, self._say, self._machine = place, say, machine
        self._child = _make_child(place, machine)
        self.take_parents()
        self.socket = machine.open_socket(place.boot.parents)

    def discover(self, values: Mapping[str, Any]) -> None:
        """Report values, all of them or none; None is a value (``null``)."""
        self._child.discover(
            {
                name: json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
                for name, value in values.items()
            }
        )

    def forget(self, name: str) -> None:
        """Report that a value is not known any more."""
        self._child.set_discovered(name, None)

    def take_parents(self) -> None:
        """Take the list of parents that the owner of this node has told, if it has."""
        raw = self._child.configured.get(PARENTS)
        if raw is None:
            return
        try:
            written: object = json.loads(raw)
        except ValueError:
            return
        if isinstance(written, list):
            texts = cast("list[object]", written)
            self._child.set_parents([parent_of(str(text)) for text in texts if text])

    @property
    def configured(self) -> dict[str, bytes]:
        """The configured record as it is known."""
        return self._child.configured

    @property
    def in_step(self) -> bool:
        """Whether the parent is known to hold all that was reported."""
        return self._child.in_step

    def next_timeout(self) -> float | None:
        """When `talk` has something to do, on the monotonic clock."""
        return self._child.next_timeout()

    def receive(self) -> bool:
        """Take in what the socket holds; False: nothing came of it, as of most heartbeats' answers."""
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                datagram, address = self.socket.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error of an earlier datagram
                continue
            now = self._machine.now()
            self._child.receive_datagram(datagram, address[:2], now)
            if not self._child.wants_turn(now):
                return False
        return True

    def talk(self, now: float) -> bool:
        """Take the sync's events, then send what it has to send; True: the record has changed."""
        changed = False
        while (event := self._child.next_event()) is not None:
            match event:
                case SessionUp(parent=parent):
                    self.keep()
                    self._say(f"joined {parent[0]}:{parent[1]}")
                case Configured():
                    changed = True
                    self.take_parents()
                case ParentLost(parent=parent, silent_s=silent_s):
                    self._say(f"{parent[0]}:{parent[1]} is silent since {silent_s:.0f} s")
                case Refused(address=address, reason=reason):
                    self._say(f"{address[0]} refuses this node: {reason}")
        self.send(now)
        return changed

    def beat(self, before: float) -> bool:
        """Send what the sync has to send, unless it is ``before`` already; False: more is to be done."""
        now = self._machine.now()
        if now >= before:
            return False
        self.send(now)
        return not self._child.wants_turn(now)

    def send(self, now: float) -> None:
        """Send what there is to send."""
        for datagram, address in self._child.datagrams_to_send(now):
            try:
                self.socket.sendto(datagram, address)
            except OSError:
                continue  # the network is away; the sync sends again

    def keep(self) -> None:
        """Keep the session for the agent after this one."""
        self._place.keeping.save("session", self._child.export())


class _Chance:
    """Jitter from the kernel: the module ``random`` would cost the start of every node some time."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def random(self) -> float:
        return int.from_bytes(self._machine.random_bytes(6), "big") / (1 << 48)


def _make_child(place: Place, machine: Machine) -> Child:
    """Go on with the session of this boot, or begin one with the token."""
    chance = _Chance(machine)
    saved = place.keeping.load("session")
    parents = list(place.boot.parents)
    if saved is not None:
        return Child.restore(saved, parents, random_bytes=machine.random_bytes, chance=chance)
    if not place.boot.token:
        raise KedgeError(
            "agent.no_token",
            "this node's token was used and its session is lost",
            where=place.boot.node,
            next_step=f"Boot it again: kedge power cycle {place.boot.node}",
        )
    return Child(
        place.boot.node,
        Epoch(place.boot.term, place.boot.counter),
        parents,
        random_bytes=machine.random_bytes,
        chance=chance,
        token=place.boot.token,
    )
