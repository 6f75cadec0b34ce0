"""The agent: one loop over the sync socket, the running order and a few timers.

It owns the sockets and the clock; what is decided is decided in `kedge.sync` and in the duties.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from kedge.agent.duties import facts, host_files, image_activate, init_state, power
from kedge.agent.orders import PREFIX, Answer, Duty, Orders
from kedge.agent.place import LAYER0, RUNNING, Place
from kedge.lib.errors import KedgeError
from kedge.sync.child import Child
from kedge.sync.events import Configured, ParentLost, Refused, SessionUp
from kedge.sync.wire import Epoch

DUTIES: dict[str, Duty] = {
    image_activate.NAME: image_activate.carry_out,
    power.NAME: power.carry_out,
}

_DATAGRAM_BYTES = 65536
_DATAGRAMS_A_TURN = 64
_PROGRESS_EVERY_S = 1.0
_STARTING_EVERY_S = 1.0
_RUNNING_EVERY_S = 180.0
_FAREWELL_S = 3.0  # how long the last report may take to be acknowledged

Say = Callable[[str], None]


class Agent:
    """A node's agent in one stage of the boot."""

    def __init__(self, place: Place, say: Say) -> None:
        self._place, self._say = place, say
        self._state = place.keeping.load_object("state.json")
        self._child = _make_child(place)
        self._socket = _open_socket(place)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._orders = Orders(place, DUTIES, self._answer, self._state.get("orders", {}))
        self._watched = -1
        self._progress: dict[str, Any] | None = None
        self._progress_at = 0.0
        self._look_at = 0.0  # when init's state is read next
        self._leave_at: float | None = None
        self._last_act: Callable[[], None] | None = None

    def run(self) -> int:
        """Work until the stage ends; the process's exit code."""
        if self._place.stage == LAYER0 and self._state.get("image"):
            return 0  # an earlier agent of this boot had prepared the hand-over already
        self._report_first()
        while True:
            now = time.monotonic()
            self._run_timers(now)
            self._talk(now)
            if self._leave_at is not None and (self._child.in_step or now >= self._leave_at):
                break
            self._watch_order()
            for key, _ in self._selector.select(max(0.0, self._wake_at() - time.monotonic())):
                if key.fileobj is self._socket:
                    self._receive()
                else:
                    self._hear_order()
        self._keep_session()
        if self._last_act is not None:
            self._last_act()
        return 0

    # ---- reporting

    def _report_first(self) -> None:
        self._discover("facts", facts.read_facts())
        for mutation, answer in self._orders.answers.items():
            self._discover(PREFIX + mutation, answer)
        if self._place.stage == LAYER0:
            self._discover("boot.stage", LAYER0)
            self._discover("image.running", None)
            self._say("waiting for orders")
        elif self._state.get("running"):
            self._discover_running()

    def _discover(self, name: str, value: Any) -> None:
        encoded = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        self._child.set_discovered(name, encoded)

    def _discover_running(self) -> None:
        self._child.discover(
            {
                "boot.stage": json.dumps(RUNNING).encode(),
                "image.running": json.dumps(self._state.get("image")).encode(),
                "files.running": json.dumps(self._state.get("files")).encode(),
                "progress": b"null",
            }
        )

    def _answer(self, mutation: str, answer: Answer | None) -> None:
        if answer is None:
            self._child.set_discovered(PREFIX + mutation, None)
        else:
            self._discover(PREFIX + mutation, answer)
            error = answer.get("error", {})
            reason = f": {error['what']} ({error['why']})" if error else ""
            self._say(f"order {mutation}: {answer['status']}{reason}")
        self._save_state()

    def _save_state(self) -> None:
        self._state["orders"] = self._orders.answers
        self._place.keeping.save_object("state.json", self._state)

    # ---- the sync

    def _receive(self) -> None:
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                datagram, address = self._socket.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of an earlier datagram
                continue
            self._child.receive_datagram(datagram, address[:2], time.monotonic())

    def _talk(self, now: float) -> None:
        """Take the sync's events, then send what it has to send."""
        while (event := self._child.next_event()) is not None:
            match event:
                case SessionUp(parent=parent):
                    self._keep_session()
                    self._say(f"joined {parent[0]}:{parent[1]}")
                case Configured():
                    self._configured()
                case ParentLost(parent=parent, silent_s=silent_s):
                    self._say(f"{parent[0]}:{parent[1]} is silent since {silent_s:.0f} s")
                case Refused(address=address, reason=reason):
                    self._say(f"{address[0]} refuses this node: {reason}")
        for datagram, address in self._child.datagrams_to_send(now):
            try:
                self._socket.sendto(datagram, address)
            except OSError:
                continue  # the network is away; the sync sends again

    def _keep_session(self) -> None:
        self._place.keeping.save("session", self._child.export())

    def _configured(self) -> None:
        record = self._child.configured
        if self._place.stage == RUNNING:
            self._apply_files(record)
        if self._leave_at is None:
            self._orders.configured(record)

    def _apply_files(self, record: dict[str, bytes]) -> None:
        content = record.get(host_files.ENTRY)
        if content is None:
            return
        try:
            written = host_files.apply(self._place, host_files.parse(record))
        except KedgeError as problem:
            self._discover("files.error", problem.as_dict())
            self._say(f"host files: {problem}")
            return
        self._child.set_discovered("files.error", None)
        if written != self._state.get("files"):
            self._state["files"] = written
            self._save_state()
            self._say("host files were changed")
            if self._state.get("running"):
                self._discover("files.running", written)

    # ---- orders

    def _watch_order(self) -> None:
        process = self._orders.process
        descriptor = process.descriptor if process is not None else -1
        if descriptor != self._watched:
            if self._watched >= 0:
                self._selector.unregister(self._watched)
            if descriptor >= 0:
                self._selector.register(descriptor, selectors.EVENT_READ)
            self._watched = descriptor

    def _hear_order(self) -> None:
        process = self._orders.process
        messages, result = self._orders.receive()
        if self._orders.process is not process:
            self._selector.unregister(self._watched)
            self._watched = -1
            self._progress = None
            self._discover("progress", None)
        elif messages:
            self._progress = messages[-1]
        if "hand_over" in result:
            self._state |= result["hand_over"]
            self._leave("the image is mounted; handing over", None)
        elif "shut_down" in result:
            action = result["shut_down"]
            self._leave(
                f"going down ({action}) by order", lambda: power.shut_down(self._place, action)
            )

    def _leave(self, why: str, last_act: Callable[[], None] | None) -> None:
        self._say(why)
        self._save_state()
        self._leave_at = time.monotonic() + _FAREWELL_S
        self._last_act = last_act

    # ---- timers

    def _wake_at(self) -> float:
        times = [self._child.next_timeout(), self._leave_at]
        if self._progress is not None:
            times.append(self._progress_at + _PROGRESS_EVERY_S)
        if self._place.stage == RUNNING:
            times.append(self._look_at)
        return min(at for at in times if at is not None)

    def _run_timers(self, now: float) -> None:
        if self._progress is not None and now >= self._progress_at + _PROGRESS_EVERY_S:
            self._discover("progress", self._progress)
            self._progress, self._progress_at = None, now
        if self._place.stage == RUNNING and now >= self._look_at:
            self._look_at_init(now)

    def _look_at_init(self, now: float) -> None:
        systemd = self._state.get("systemd", True)
        read = init_state.read_systemd if systemd else init_state.read_other
        found = read(self._place.process_1)
        self._discover("init.state", found.state)
        self._discover("init.failed", list(found.failed))
        if found.reached and not self._state.get("running"):
            self._state["running"] = True
            self._discover_running()
            self._orders.resume(image_activate.NAME, "done")
            self._save_state()
            self._say(f"the image is running (init says {found.state})")
        every_s = _RUNNING_EVERY_S if self._state.get("running") else _STARTING_EVERY_S
        self._look_at = now + every_s


def _make_child(place: Place) -> Child:
    """Go on with the session of this boot, or begin one with the token."""
    chance = random.Random(os.urandom(16))
    saved = place.keeping.load("session")
    parents = list(place.boot.parents)
    if saved is not None:
        return Child.restore(saved, parents, random_bytes=os.urandom, chance=chance)
    if not place.boot.token:
        raise KedgeError(
            "agent.no_token",
            "this node's token was used and its session is lost",
            where=place.boot.node,
            next_step=f"Boot it again: kedge power cycle {place.boot.node}",
        )
    epoch = Epoch(place.boot.term, place.boot.counter)
    return Child(
        place.boot.node,
        epoch,
        parents,
        random_bytes=os.urandom,
        chance=chance,
        token=place.boot.token,
    )


def _open_socket(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.boot.parents[0][0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    opened.bind(("", 0))
    return opened
