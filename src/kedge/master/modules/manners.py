"""What modules may say, and how often: a module speaks of its own variables, within their kinds, and at a
pace that leaves the engine to others.

What comes too often is not lost where it matters: of observations the last ones of each node are taken in
when the second is over. Events and progress beyond their share are counted and left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.graph import Graph
from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.engine.head import Head
from kedge.master.modules.troubles import Troubles
from kedge.master.process.attribution import current_module

WINDOW_S = 1.0
OBSERVES_LEAST = 200
OBSERVES_A_NODE = 4
EVENTS = 200
MESSAGES = 1000


@dataclass(slots=True)
class _Window:
    """One second of one module."""

    observed: int = 0
    events: int = 0
    messages: int = 0
    waiting: dict[str, tuple[dict[str, Value], str]] = field(
        default_factory=dict[str, tuple[dict[str, Value], str]]
    )


class Manners:
    """Stands between modules and the head."""

    def __init__(self, head: Head, troubles: Troubles) -> None:
        self._head = head
        self._troubles = troubles
        self._windows: dict[str, _Window] = {}
        self.adopt(head.graph)

    def adopt(self, graph: Graph) -> None:
        """The graph is another one."""
        self._speaks_of = {
            name: {v.name for v in module.variables}
            | {variable for d in module.discoveries for variable in d.variables}
            for name, module in graph.modules.items()
        }

    def observe(self, node: str, values: Mapping[str, Value], by: str) -> None:
        """Take in what a module saw, now or when the second is over; raises `KedgeError`."""
        module = current_module.get()
        if not module:
            self._head.observe(node, values, by)
            return
        self._own(module, values)
        if node not in self._head.nodes:
            self._troubles.note(module, "lies", "it observed a node that there is not", node)
            return
        window = self._window(module)
        window.observed += 1
        most = max(OBSERVES_LEAST, OBSERVES_A_NODE * len(self._head.nodes))
        if window.observed > most:
            known = window.waiting.setdefault(node, ({}, by))
            window.waiting[node] = ({**known[0], **values}, by)
            return
        self._take_in(module, node, values, by)

    def _take_in(self, module: str, node: str, values: Mapping[str, Value], by: str) -> None:
        try:
            self._head.observe(node, values, by)
        except KedgeError as error:
            self._troubles.note(module, "lies", str(error))
            raise

    def _own(self, module: str, names: Mapping[str, Value]) -> None:
        foreign = sorted(set(names) - self._speaks_of.get(module, set[str]()))
        if foreign:
            what = f"it speaks of {', '.join(foreign)}, which it neither declares nor discovers"
            self._troubles.note(module, "lies", what)
            raise KedgeError("observe.foreign", what, where=f"module {module}")

    def refine(self, node: str, variable: str, value: Value) -> None:
        """A module says what a configured value of its own stands for."""
        module = current_module.get()
        if module:
            self._own(module, {variable: value})
        self._head.refine(node, variable, value)

    def event(self, node: str, what: str, subject: str, cause: str) -> None:
        """Append to the log, within the module's share."""
        module = current_module.get()
        if module:
            window = self._window(module)
            window.events += 1
            if window.events > EVENTS:
                return
        self._head.journal.write(node, what, subject, cause=cause)

    def publish(self, topic: str, message: Mapping[str, Value]) -> None:
        """Tell those who watch, within the module's share."""
        module = current_module.get()
        if module:
            window = self._window(module)
            window.messages += 1
            if window.messages > MESSAGES:
                return
        self._head.journal.publish(topic, message)

    def _window(self, module: str) -> _Window:
        window = self._windows.get(module)
        if window is None:
            window = self._windows[module] = _Window()
            asyncio.get_running_loop().call_later(WINDOW_S, self._over, module)
        return window

    def _over(self, module: str) -> None:
        """The second is over: say what was too much, and take in what waits."""
        window = self._windows.pop(module)
        told: list[str] = []
        if window.waiting:
            told.append(f"{window.observed} observations")
        if window.events > EVENTS:
            told.append(f"{window.events} events")
        if window.messages > MESSAGES:
            told.append(f"{window.messages} messages")
        if told:
            self._troubles.note(module, "floods", f"it made {', '.join(told)} within a second")
        for node, (values, by) in window.waiting.items():
            if node in self._head.nodes and set(values) <= self._head.graph.variables.keys():
                try:
                    self._take_in(module, node, values, by)
                except KedgeError:
                    continue  # it was noted
