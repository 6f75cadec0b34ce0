"""Orders: what the owner wants done on this node, each carried out once and answered.

An order is named by its mutation and has an id. The same id is never carried out twice; a new id
replaces the order before it, and an order that is withdrawn is ended. One order runs at a time, in a
forked process, so that the agent stays responsive whatever an order does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from kedge.agent.place import Place
from kedge.agent.process import Process, Tell
from kedge.lib.errors import KedgeError

PREFIX = "order/"

Duty = Callable[[Place, dict[str, Any], Mapping[str, bytes], Tell], dict[str, Any]]
"""Carries out an order in a forked process: place, arguments, the configured record, and a function
that tells the agent of progress. Returns what the agent must do next (often nothing)."""

Answer = dict[str, Any]


class Orders:
    """The orders of this node and their answers; the answers outlive a restart of the agent."""

    def __init__(
        self,
        place: Place,
        duties: Mapping[str, Duty],
        answer: Callable[[str, Answer | None], None],
        answers: Mapping[str, Answer],
        start: Callable[[Callable[[Tell], None]], Process] = Process,
    ) -> None:
        """``answer`` reports an answer upwards (None: unknown); ``answers`` are those given before;
        ``start`` begins an order's work beside the agent."""
        self._begin = start
        self._place, self._duties, self._answer = place, duties, answer
        self.answers: dict[str, Answer] = dict(answers)
        self._wanted: dict[str, dict[str, Any]] = {}
        self._record: Mapping[str, bytes] = {}
        self._results: dict[str, Any] = {}
        self._error: dict[str, str] | None = None
        self.process: Process | None = None
        self._current = ""
        self._travelled: Mapping[str, Duty] = {}

    @property
    def current(self) -> str:
        """The mutation whose order runs; empty when none does."""
        return self._current

    def configured(
        self, record: Mapping[str, bytes], travelled: Mapping[str, Duty] | None = None
    ) -> None:
        """Take in the configured record: begin what is new, end what was withdrawn. ``travelled`` are
        the duties that it brought."""
        self._record = record
        self._travelled = travelled or {}
        self._wanted = {}
        for name in sorted(record):
            if name.startswith(PREFIX):
                self._take(name.removeprefix(PREFIX), record[name])
        for mutation in [m for m in self.answers if m not in self._wanted]:
            if mutation != self._current:
                del self.answers[mutation]
                self._answer(mutation, None)
        if self.process is not None and not self._still_wanted(self._current):
            self.process.kill()
        self._start_next()

    def resume(self, mutation: str, status: str) -> None:
        """Set the status of an order that went on in another stage of the boot."""
        if mutation in self.answers:
            self._set(mutation, {"id": self.answers[mutation]["id"], "status": status})

    def fail(self, mutation: str, problem: KedgeError) -> None:
        """An order that went on in another stage of the boot has failed there."""
        if mutation in self.answers:
            self._fail(mutation, self.answers[mutation]["id"], problem.as_dict())

    def receive(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Read what the running order says: its progress messages, and its result once it ends."""
        if self.process is None:
            return [], {}
        progress: list[dict[str, Any]] = []
        for message in self.process.messages():
            if "progress" in message:
                progress.append(message["progress"])
            self._results |= message.get("result", {})
            self._error = message.get("error", self._error)
        if not self.process.ended:
            return progress, {}
        return progress, self._finish(self.process.close())

    def _finish(self, code: int) -> dict[str, Any]:
        mutation, results, error = self._current, self._results, self._error
        self.process, self._current, self._results, self._error = None, "", {}, None
        if not self._still_wanted(mutation):
            self.answers.pop(mutation, None)
            self._answer(mutation, None)
            results = {}
        elif code == 0:
            status = "running" if results.get("goes_on") else "done"
            self._set(mutation, {"id": self.answers[mutation]["id"], "status": status})
        else:
            default = KedgeError("agent.died", f"{mutation} ended early", why=f"exit code {code}")
            self._fail(mutation, self.answers[mutation]["id"], error or default.as_dict())
            results = {}
        self._start_next()
        return results

    def _still_wanted(self, mutation: str) -> bool:
        wanted, answered = self._wanted.get(mutation), self.answers.get(mutation)
        return wanted is not None and answered is not None and wanted["id"] == answered["id"]

    def _take(self, mutation: str, content: bytes) -> None:
        try:
            order = cast("dict[str, Any]", json.loads(content))
            fits = isinstance(order["id"], str) and isinstance(order.setdefault("args", {}), dict)
        except (ValueError, KeyError, TypeError, AttributeError):
            fits, order = False, {}
        if not fits:
            problem = KedgeError("agent.bad_order", f"the order {mutation} cannot be read")
            self._fail(mutation, "", problem.as_dict())
            order = {"id": ""}
        self._wanted[mutation] = order

    def _start_next(self) -> None:
        if self.process is not None:
            return
        for mutation, order in self._wanted.items():
            if self.answers.get(mutation, {}).get("id") == order["id"]:
                continue
            duty = self._duties.get(mutation) or self._travelled.get(mutation)
            if duty is None:
                problem = KedgeError(
                    "agent.unknown_order",
                    f"this node's agent does not know the order {mutation}",
                    why="it knows " + ", ".join(sorted({*self._duties, *self._travelled})),
                )
                self._fail(mutation, order["id"], problem.as_dict())
                continue
            self._start(mutation, order, duty)
            return

    def _start(self, mutation: str, order: dict[str, Any], duty: Duty) -> None:
        place, record = self._place, self._record

        def work(tell: Tell) -> None:
            tell({"result": duty(place, order["args"], record, tell)})

        self._current = mutation
        self._set(mutation, {"id": order["id"], "status": "running"})
        self.process = self._begin(work)

    def _fail(self, mutation: str, identity: str, error: dict[str, str]) -> None:
        self._set(mutation, {"id": identity, "status": "failed", "error": error})

    def _set(self, mutation: str, answer: Answer) -> None:
        if self.answers.get(mutation) != answer:
            self.answers[mutation] = answer
            self._answer(mutation, answer)
