"""The agent: one loop over the sync's socket, the running order and a few timers.

It owns the clock and the loop; what is decided is decided in `kedge.sync`, the orders and the duties.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Mapping
from typing import Any

from kedge.agent.duties import facts, host_files, image_activate, init_state, power
from kedge.agent.orders import PREFIX, Answer, Duty, Orders
from kedge.agent.place import LAYER0, RUNNING, Place
from kedge.agent.uplink import Say, Uplink
from kedge.lib.errors import KedgeError

DUTIES: dict[str, Duty] = {
    image_activate.NAME: image_activate.carry_out,
    power.NAME: power.carry_out,
}

_PROGRESS_EVERY_S = 1.0
_STARTING_EVERY_S = 1.0
_RUNNING_EVERY_S = 180.0
_FAREWELL_S = 3.0  # how long the last report may take to be acknowledged


class Agent:
    """A node's agent in one stage of the boot."""

    def __init__(self, place: Place, say: Say) -> None:
        self._place, self._say = place, say
        self._state = place.keeping.load_object("state.json")
        self._up = Uplink(place, say)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._up.socket, selectors.EVENT_READ)
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
            if self._up.talk(now):
                self._configured()
                self._up.send(now)
            if self._leave_at is not None and (self._up.in_step or now >= self._leave_at):
                break
            self._watch_order()
            for key, _ in self._selector.select(max(0.0, self._wake_at() - time.monotonic())):
                if key.fileobj is self._up.socket:
                    self._up.receive()
                else:
                    self._hear_order()
        self._up.keep()
        if self._last_act is not None:
            self._last_act()
        return 0

    # ---- reporting

    def _report_first(self) -> None:
        self._up.discover({"facts": facts.read_facts()})
        for mutation, answer in self._orders.answers.items():
            self._up.discover({PREFIX + mutation: answer})
        if self._place.stage == LAYER0:
            self._up.discover({"boot.stage": LAYER0, "image.running": None})
            self._say("waiting for orders")
        elif self._state.get("running"):
            self._report_running()

    def _report_running(self) -> None:
        self._up.discover(
            {
                "boot.stage": RUNNING,
                "image.running": self._state.get("image"),
                "files.running": self._state.get("files"),
                "progress": None,
            }
        )

    def _answer(self, mutation: str, answer: Answer | None) -> None:
        if answer is None:
            self._up.forget(PREFIX + mutation)
        else:
            self._up.discover({PREFIX + mutation: answer})
            error = answer.get("error", {})
            reason = f": {error['what']} ({error['why']})" if error else ""
            self._say(f"order {mutation}: {answer['status']}{reason}")
        self._save_state()

    def _save_state(self) -> None:
        self._state["orders"] = self._orders.answers
        self._place.keeping.save_object("state.json", self._state)

    # ---- what the head wants

    def _configured(self) -> None:
        record = self._up.configured
        if self._place.stage == RUNNING:
            self._apply_files(record)
        if self._leave_at is None:
            self._orders.configured(record)

    def _apply_files(self, record: Mapping[str, bytes]) -> None:
        if host_files.ENTRY not in record:
            return
        try:
            written = host_files.apply(self._place, host_files.parse(record))
        except KedgeError as problem:
            self._up.discover({"files.error": problem.as_dict()})
            self._say(f"host files: {problem}")
            return
        self._up.forget("files.error")
        if written != self._state.get("files"):
            self._state["files"] = written
            self._save_state()
            self._say("host files were changed")
            if self._state.get("running"):
                self._up.discover({"files.running": written})

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
            self._up.discover({"progress": None})
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
        times = [self._up.next_timeout(), self._leave_at]
        if self._progress is not None:
            times.append(self._progress_at + _PROGRESS_EVERY_S)
        if self._place.stage == RUNNING:
            times.append(self._look_at)
        return min(at for at in times if at is not None)

    def _run_timers(self, now: float) -> None:
        if self._progress is not None and now >= self._progress_at + _PROGRESS_EVERY_S:
            self._up.discover({"progress": self._progress})
            self._progress, self._progress_at = None, now
        if self._place.stage == RUNNING and now >= self._look_at:
            self._look_at_init(now)

    def _look_at_init(self, now: float) -> None:
        systemd = self._state.get("systemd", True)
        read = init_state.read_systemd if systemd else init_state.read_other
        found = read(self._place.process_1)
        self._up.discover({"init.state": found.state, "init.failed": list(found.failed)})
        if found.reached and not self._state.get("running"):
            self._state["running"] = True
            self._report_running()
            self._orders.resume(image_activate.NAME, "done")
            self._save_state()
            self._say(f"the image is running (init says {found.state})")
        every_s = _RUNNING_EVERY_S if self._state.get("running") else _STARTING_EVERY_S
        self._look_at = now + every_s
