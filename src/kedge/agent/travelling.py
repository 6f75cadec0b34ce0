"""Duties that travelled here: files of the owner's modules, named by digest in the configured record.

Each runs in a process of its own, with a deadline, one at a time; its report goes up as the entry
``duty/<name>``. Nothing of a duty is ever loaded into the agent itself, so it costs the agent neither
memory nor trust: it can hang, raise and eat its own process, no more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from kedge.agent.orders import Duty
from kedge.agent.place import RUNNING, Place
from kedge.agent.process import Process, Tell
from kedge.lib.errors import KedgeError

PREFIX = "duty/"
REPORT_MAX_BYTES = 16_384
SIZE_MAX_BYTES = 65_536
DUTIES_MAX = 64
EVERY_LEAST_S = 5.0
TIMEOUT_MOST_S = 3600.0

Work = Callable[["Place", "Declared", "Tell"], None]
OrderWork = Callable[["Place", "Declared", str, dict[str, Any], Tell], dict[str, Any]]


class Declared(NamedTuple):
    """A duty as the configured record tells of it."""

    name: str
    digest: str
    size_bytes: int
    every_s: float
    timeout_s: float
    stages: tuple[str, ...]
    reports: tuple[str, ...]
    orders: tuple[str, ...]
    configured: dict[str, Any]


class Worker(NamedTuple):
    """What runs a duty in its own process: `kedge.agent.duty_work`, or a simulated machine's."""

    observe: Work
    carry_out: OrderWork


def parse(name: str, content: bytes) -> Declared | None:
    """What an entry says; None for what cannot be read (a newer head's, perhaps)."""
    try:
        told = json.loads(content)
        digest, size_bytes = str(told["digest"]), int(told["size_bytes"])
        every_s, timeout_s = float(told["every_s"]), float(told["timeout_s"])
        stages, reports, orders = (
            tuple(map(str, told[key])) for key in ("stages", "reports", "orders")
        )
        configured = dict(told["configured"])
    except (ValueError, KeyError, TypeError):
        return None
    if not 0 < size_bytes <= SIZE_MAX_BYTES:
        return None
    every_s = max(EVERY_LEAST_S, every_s) if every_s > 0 else 0.0
    timeout_s = min(max(0.1, timeout_s), TIMEOUT_MOST_S)
    return Declared(
        name, digest, size_bytes, every_s, timeout_s, stages, reports, orders, configured
    )


class Travelling:
    """The duties of this node: when each is due, and the one that runs."""

    def __init__(
        self,
        place: Place,
        worker: Worker,
        start: Callable[[Callable[[Tell], None]], Process],
        report: Callable[[str, dict[str, Any] | None], None],
    ) -> None:
        """``report`` takes an entry's name and value upwards (None: unknown)."""
        self._place, self._worker, self._start, self._report = place, worker, start, report
        self._raw: dict[str, bytes] = {}
        self._known: dict[str, Declared] = {}
        self._due: dict[str, float] = {}
        self.carriers: dict[str, Duty] = {}
        """Mutation -> what carries it out."""
        self.process: Process | None = None
        self._current: Declared | None = None
        self._deadline = 0.0
        self._found: dict[str, Any] = {}

    def configured(self, record: Mapping[str, bytes], now: float) -> None:
        """Take in the configured record: duties that came, changed or went."""
        wanted = [name for name in sorted(record) if name.startswith(PREFIX)][:DUTIES_MAX]
        raw = {name.removeprefix(PREFIX): record[name] for name in wanted}
        if raw == self._raw:
            return
        for name in self._raw.keys() - raw.keys():
            self._known.pop(name, None)
            self._due.pop(name, None)
            self._report(PREFIX + name, None)
        for name, content in raw.items():
            if self._raw.get(name) != content:
                self._take(name, content, now)
        if self._current is not None and self._known.get(self._current.name) != self._current:
            self.stop()
        self._raw = raw
        self.carriers = {
            mutation: partial(_carry_out, self._worker.carry_out, declared, mutation)
            for declared in self._known.values()
            for mutation in declared.orders
        }

    def _take(self, name: str, content: bytes, now: float) -> None:
        declared = parse(name, content)
        self._due.pop(name, None)
        self._known.pop(name, None)
        if declared is None:
            problem = KedgeError("duty.unreadable", "this agent cannot read what it shall do")
            self._report(PREFIX + name, {"error": problem.as_dict()})
        else:
            self._known[name] = declared
            if declared.reports and self._place.stage in declared.stages:
                self._due[name] = now

    def carried_out(self, mutation: str, now: float) -> None:
        """An order ended: what its duty reports is looked at again."""
        for declared in self._known.values():
            if mutation in declared.orders and declared.name in self._due:
                self._due[declared.name] = now

    def next_at(self) -> float | None:
        """When `turn` has something to do."""
        if self.process is not None:
            return self._deadline
        return min(self._due.values(), default=None)

    def turn(self, now: float) -> None:
        """Start what is due; end what takes too long."""
        if self.process is not None:
            if now >= self._deadline:
                assert self._current is not None
                took = f"it was ended after {self._current.timeout_s:g} s"
                self._found = {"error": _failed("did not answer in time", took)}
                self.stop()
                self._deadline = float("inf")
            return
        name = min(self._due, key=lambda name: (self._due[name], name), default="")
        if not name or self._due[name] > now:
            return
        declared = self._known[name]
        self._due[name] = now + declared.every_s if declared.every_s else float("inf")
        self._current, self._found = declared, {}
        self._deadline = now + declared.timeout_s
        self.process = self._start(partial(self._worker.observe, self._place, declared))

    def receive(self, now: float) -> None:
        """Read what the running duty says; at its end, report."""
        if self.process is None or self._current is None:
            return
        for message in self.process.messages():
            if not self._found:
                self._found = {key: message[key] for key in ("values", "error") if key in message}
        if not self.process.ended:
            return
        code = self.process.close()
        declared, found = self._current, self._found
        self.process, self._current, self._found = None, None, {}
        if self._known.get(declared.name) != declared:
            return  # it was withdrawn or changed meanwhile
        self._report(PREFIX + declared.name, checked(found, code))

    def stop(self) -> None:
        """End the duty that runs."""
        if self.process is not None:
            self.process.kill()


def checked(found: dict[str, Any], code: int) -> dict[str, Any]:
    """A report within its bounds."""
    if not found:
        return {"error": _failed("ended early", f"exit code {code}")}
    if len(json.dumps(found)) > REPORT_MAX_BYTES:
        return {"error": _failed("reports too much", f"at most {REPORT_MAX_BYTES} bytes")}
    return found


def _carry_out(
    carry_out: OrderWork,
    declared: Declared,
    mutation: str,
    place: Place,
    args: dict[str, Any],
    record: Mapping[str, bytes],
    tell: Tell,
) -> dict[str, Any]:
    if place.stage not in declared.stages:
        place.require(declared.stages[0] if declared.stages else RUNNING, mutation)
    return carry_out(place, declared, mutation, args, tell)


def _failed(what: str, why: str) -> dict[str, str]:
    return KedgeError("duty.failed", what, why=why).as_dict()
