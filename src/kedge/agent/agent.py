"""The agent: one loop over the sync's socket, the running order and a few timers.

It owns the clock and the loop; what is decided is decided in `kedge.sync`, the orders and the duties.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Mapping
from typing import Any

from kedge.agent import hanging, living_on
from kedge.agent.duties import host_files, image_activate
from kedge.agent.duties.init_state import InitState
from kedge.agent.machine import Machine
from kedge.agent.orders import PREFIX, Answer, Orders
from kedge.agent.place import LAYER0, RUNNING, STUCK, Place
from kedge.agent.process import Process
from kedge.agent.travelling import Travelling
from kedge.agent.uplink import Say, Uplink
from kedge.lib.errors import KedgeError

_PROGRESS_EVERY_S = 1.0
_STARTING_EVERY_S = 1.0
_WOKEN_EVERY_S = 20.0  # where the init wakes the agent when it is up
_RUNNING_EVERY_S = 180.0
_WAIT_MOST_S = 3600.0
_FAREWELL_S = 3.0  # how long the last report may take to be acknowledged

_Watched = dict[int, tuple[Process, Callable[[], None]]]


class Agent:
    """A node's agent in one stage of the boot."""

    def __init__(
        self, place: Place, say: Say, machine: Machine | None = None, up: Uplink | None = None
    ) -> None:
        """``up``: the way up of an agent that this one goes on for, in the same process."""
        self._place, self._say = place, say
        self._machine = machine or Machine()
        self._state = place.keeping.load_object("state.json")
        self.up = up or Uplink(place, say, self._machine)
        self.orders = Orders(
            place,
            self._machine.duties,
            self._answer,
            self._state.get("orders", {}),
            self._machine.start,
        )
        self.duties = Travelling(
            place, self._machine.worker, self._machine.start, self._report_duty
        )
        self._progress: dict[str, Any] | None = None
        self._progress_at = 0.0
        self._look_at = 0.0  # when init's state is read next
        self._wake = self._machine.open_wake(place) if place.stage == RUNNING else None
        self._leave_at: float | None = None
        self._last_act: Callable[[], None] | None = None

    def run(self) -> int:
        """Work until the stage ends; the process's exit code."""
        selector = selectors.DefaultSelector()
        selector.register(self.up.socket, selectors.EVENT_READ)
        if self._wake is not None:
            selector.register(self._wake, selectors.EVENT_READ)
        watched: _Watched = {}
        going = self.begin()
        while going and self.turn():
            self._watch(selector, watched)
            others_at = self._others_at()
            while not self._wait(selector, watched, others_at):
                pass
        if going:
            self.end()
        return 0

    def _wait(self, selector: selectors.BaseSelector, watched: _Watched, others_at: float) -> bool:
        """Wait for something to happen, or for the time of something; False: it was a heartbeat or its
        answer, and all that it needs was done here. ``others_at``: when something else is due."""
        at = self.up.next_timeout()
        until = others_at if at is None else min(at, others_at)
        ready = selector.select(min(_WAIT_MOST_S, max(0.0, until - self._machine.now())))
        due = not ready and not self.up.beat(others_at)
        for key, _ in ready:
            if key.fileobj is self.up.socket:
                leaving = (
                    self._leave_at is not None
                )  # then the last report's acknowledgement counts
                due = self.up.receive() or due or leaving
                continue
            due = True
            if key.fileobj == self._wake:
                living_on.drain(key.fd)
                self._look_at = 0.0
            else:
                process, hear = watched[key.fd]
                hear()
                if self._processes().get(key.fd, (None,))[0] is not process:
                    selector.unregister(key.fd)  # it is closed, or another's
                    del watched[key.fd]
        return due

    def begin(self) -> bool:
        """Report what is known at the start; False when there is nothing to do in this stage."""
        if self._place.stage == LAYER0 and self._state.get("image"):
            return False  # an earlier agent of this boot had prepared the hand-over already
        self._report_first()
        self.duties.configured(self.up.configured, self._machine.now())  # an earlier agent's record
        return True

    def turn(self) -> bool:
        """Do all that is due; False when the stage is over."""
        now = self._machine.now()
        self._run_timers(now)
        if self.up.talk(now):
            self._configured()
            self.up.send(now)
        return self._leave_at is None or not (self.up.in_step or now >= self._leave_at)

    def end(self) -> None:
        """Leave everything to the agent after this one."""
        self.duties.stop()
        self.up.keep()
        if self._last_act is not None:
            self._last_act()

    # ---- reporting

    def _report_first(self) -> None:
        self.up.discover({"facts": self._machine.facts()})
        for mutation, answer in self.orders.answers.items():
            self.up.discover({PREFIX + mutation: answer})
        if self._place.stage == LAYER0:
            self.up.discover({"boot.stage": LAYER0, "image.running": None})
            self._say("waiting for orders")
        elif self._state.get("running"):
            self._report_running()

    def _report_running(self) -> None:
        self.up.discover(
            {
                "boot.stage": RUNNING,
                "image.running": self._state.get("image"),
                "files.running": self._state.get("files"),
                "progress": None,
            }
        )

    def _answer(self, mutation: str, answer: Answer | None) -> None:
        if answer is None:
            self.up.forget(PREFIX + mutation)
        else:
            self.up.discover({PREFIX + mutation: answer})
            error = answer.get("error", {})
            reason = f": {error['what']} ({error['why']})" if error else ""
            self._say(f"order {mutation}: {answer['status']}{reason}")
        self._save_state()

    def _save_state(self) -> None:
        self._state["orders"] = self.orders.answers
        self._place.keeping.save_object("state.json", self._state)

    # ---- what the head wants

    def _configured(self) -> None:
        record = self.up.configured
        if self._place.stage == RUNNING:
            self._apply_files(record)
        if self._leave_at is None:
            self.duties.configured(record, self._machine.now())
            self.orders.configured(record, self.duties.carriers)

    def _apply_files(self, record: Mapping[str, bytes]) -> None:
        if host_files.ENTRY not in record:
            return
        try:
            written = self._machine.apply_files(self._place, host_files.parse(record))
        except KedgeError as problem:
            self.up.discover({"files.error": problem.as_dict()})
            self._say(f"host files: {problem}")
            return
        self.up.forget("files.error")
        if written != self._state.get("files"):
            self._state["files"] = written
            self._save_state()
            self._say("host files were changed")
            if self._state.get("running"):
                self.up.discover({"files.running": written})

    def _processes(self) -> _Watched:
        """What runs beside the agent, by the descriptor to read from, and who reads it."""
        both = ((self.orders.process, self.hear_order), (self.duties.process, self.hear_duty))
        return {p.descriptor: (p, hear) for p, hear in both if p is not None}

    def _watch(
        self,
        selector: selectors.BaseSelector,
        watched: _Watched,
    ) -> None:
        wanted = self._processes()
        for descriptor in wanted.keys() - watched.keys():
            selector.register(descriptor, selectors.EVENT_READ)
        watched.update(wanted)

    def hear_order(self) -> None:
        """Take in what the running order says, and do what it leaves to the agent."""
        process, mutation = self.orders.process, self.orders.current
        messages, result = self.orders.receive()
        if self.orders.process is not process:
            self.duties.carried_out(mutation, self._machine.now())
            self._progress = None
            self.up.discover({"progress": None})
        elif messages:
            self._progress = messages[-1]
        if "hand_over" in result:
            self._state |= result["hand_over"] | {hanging.SINCE: self._machine.now()}
            self._leave("the image is mounted; handing over", None)
        elif "shut_down" in result:
            action = result["shut_down"]
            self._leave(
                f"going down ({action}) by order",
                lambda: self._machine.shut_down(self._place, action),
            )

    def hear_duty(self) -> None:
        """Take in what the running duty says."""
        self.duties.receive(self._machine.now())

    def _report_duty(self, name: str, value: dict[str, Any] | None) -> None:
        if value is None:
            self.up.forget(name)
        else:
            self.up.discover({name: value})

    def _leave(self, why: str, last_act: Callable[[], None] | None) -> None:
        self._say(why)
        self._save_state()
        self._leave_at = self._machine.now() + _FAREWELL_S
        self._last_act = last_act

    # ---- timers

    def wake_at(self) -> float:
        """When `turn` has something to do, on the machine's clock."""
        at = self.up.next_timeout()
        return self._others_at() if at is None else min(at, self._others_at())

    def _others_at(self) -> float:
        """When there is something to do beside the sync."""
        times = [self._leave_at]
        if self._duties_run:
            times.append(self.duties.next_at())
        if self._progress is not None:
            times.append(self._progress_at + _PROGRESS_EVERY_S)
        if self._place.stage == RUNNING:
            times.append(self._look_at)
        return min((at for at in times if at is not None), default=float("inf"))

    def _run_timers(self, now: float) -> None:
        if self._progress is not None and now >= self._progress_at + _PROGRESS_EVERY_S:
            self.up.discover({"progress": self._progress})
            self._progress, self._progress_at = None, now
        if self._place.stage == RUNNING and now >= self._look_at:
            self._look_at_init(now)
        if self._duties_run:
            self.duties.turn(now)

    @property
    def _duties_run(self) -> bool:
        """Whether duties are asked now: not while the image's init starts, nor while it goes down."""
        up = self._place.stage == LAYER0 or bool(self._state.get("running"))
        return up and self._leave_at is None

    def _look_at_init(self, now: float) -> None:
        systemd = self._state.get("systemd", True)
        found = self._machine.init_state(self._place, systemd=systemd)
        self.up.discover({"init.state": found.state, "init.failed": list(found.failed)})
        if found.reached and not self._state.get("running"):
            self._state["running"] = True
            self._report_running()
            if systemd and (why := self._machine.join_unit(self._place)):
                self._say(f"the agent's unit does not hold it: {why}")
            self.orders.resume(image_activate.NAME, "done")
            self._save_state()
            self._say(f"the image is running (init says {found.state})")
        elif not found.reached and now >= hanging.late_at(self._state):
            self._report_hanging(found)
        starting_s = _WOKEN_EVERY_S if systemd and self._wake is not None else _STARTING_EVERY_S
        self._look_at = now + (_RUNNING_EVERY_S if self._state.get("running") else starting_s)
        if not self._state.get("running"):
            self._look_at = min(self._look_at, hanging.late_at(self._state))

    def _report_hanging(self, found: InitState) -> None:
        """The order has failed, and the node wants to be booted anew. Should the init come up all the same,
        that is reported as ever."""
        self._state[hanging.TOLD] = True
        self.orders.fail(image_activate.NAME, hanging.problem(self._state, found))
        self.up.discover({"boot.stage": STUCK})
        self._save_state()
