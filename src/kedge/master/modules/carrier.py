"""Carrying out what the engine asks for: handlers of steps and discoveries, orders to agents.

A handler that returns has only begun: the engine waits for discovery. So while a step runs, the
discoveries of what it changes are asked again, often at first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial

from kedge.core.events import (
    DiscoveryFailed,
    EndStep,
    StartDiscovery,
    StartStep,
    StepFailed,
)
from kedge.core.mutation import Discovery, Mutation
from kedge.lib.errors import KedgeError, NotNow
from kedge.master.engine.head import Head
from kedge.master.process.attribution import current_module
from kedge.master.process.supervisor import ended, outcome
from kedge.modules.port import Io

current_step: ContextVar[str] = ContextVar("current_step", default="")
"""The id of the step that the running handler carries out (empty in a discovery or a service)."""

current_destruction: ContextVar[str] = ContextVar("current_destruction", default="")
"""The node on which the running handler carries out a destructive step (empty: none does)."""

CONFIRM_FIRST_S = 0.5
CONFIRM_MOST_S = 5.0
MOST_LEFT_BEHIND = 100
"""So many questions of one module may hang for ever before no more are asked."""
RELOAD = "See kedge module list; then: kedge module reload"


class StepCarrier:
    """Runs one task for each step in flight and each discovery being asked."""

    def __init__(
        self,
        head: Head,
        io: Io,
        ended: Callable[[str, EndStep], None],
        note: Callable[[str, str, str, str], None] = lambda module, sort, what, node: None,
    ) -> None:
        """``note`` hears what modules do wrong."""
        self._head = head
        self._note = note
        self._io = io
        self._ended = ended
        self._steps: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._asked_at: dict[tuple[str, str], float] = {}
        self._handling: set[str] = set()
        self._left: dict[str, set[asyncio.Task[None]]] = {}
        self._awaited: set[tuple[str, str]] = set()
        self._again: set[tuple[str, str]] = set()
        self.adopt()

    def adopt(self) -> None:
        """The graph is another one: what asks for variables that are gone ends."""
        discoveries = self._head.graph.discoveries
        self._discoverer = {
            variable: discovery
            for discovery in discoveries.values()
            if discovery.handler is not None
            for variable in discovery.variables
        }
        for (_, name), task in list(self._asking.items()):
            if name not in discoveries:
                task.cancel()

    def start_step(self, effect: StartStep) -> None:
        """Begin the mutation's handler."""
        mutation = self._head.graph.mutations[effect.mutation]
        task = asyncio.create_task(self._carry(effect, mutation))
        self._steps[effect.node, effect.step_id] = task

    async def _carry(self, effect: StartStep, mutation: Mutation) -> None:
        node = self._head.nodes.get(effect.node)
        if node is None:
            return
        current_module.set(mutation.module)
        current_step.set(effect.step_id)
        current_destruction.set(effect.node if mutation.destructive else "")
        if mutation.handler is not None:
            self._handling.add(effect.step_id)
            try:
                error = await outcome(partial(mutation.handler, node, self._io))
            finally:
                self._handling.discard(effect.step_id)
            if error is not None:
                self._raised(mutation.module, mutation.name, error, node.name)
                words = reason(error), next_step(error)
                late = isinstance(error, NotNow)
                self._head.feed(StepFailed(effect.node, effect.step_id, *words, put_off=late))
                return
        elif mutation.where == "node":
            self._io.order(effect.node, mutation.name, {})
        if mutation.where != "node":
            self._head.settle()  # the handler may have seen the effect already
            await self._confirm(effect, mutation)

    async def _confirm(self, effect: StartStep, mutation: Mutation) -> None:
        """Ask for what the step changes until the engine ends the step (its own handler may have seen
        the effect, so that it is over already)."""
        asked = {
            found.name: found
            for variable in mutation.effects
            if (found := self._discoverer.get(variable)) is not None
        }
        pause_s = CONFIRM_FIRST_S
        while asked and (effect.node, effect.step_id) in self._steps:
            for discovery in asked.values():
                self._ask(effect.node, discovery)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, CONFIRM_MOST_S)

    def end_step(self, effect: EndStep) -> None:
        """Stop what still runs for the step."""
        task = self._steps.pop((effect.node, effect.step_id), None)
        if effect.outcome == "timeout" and effect.step_id in self._handling:
            module = effect.mutation.partition(".")[0]
            self._note(module, "hangs", f"{effect.mutation} did not return in time", effect.node)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._ended(effect.node, effect)

    def start_discovery(self, effect: StartDiscovery) -> None:
        """Ask, unless the discovery only listens."""
        discovery = self._head.graph.discoveries[effect.discovery]
        if discovery.handler is not None:
            key = (effect.node, discovery.name)
            self._awaited.add(key)
            if key in self._asking and not self._gave_up(key, discovery):
                self._again.add(key)  # what is on its way may have been seen before the question
            self._ask(effect.node, discovery)

    def _gave_up(self, key: tuple[str, str], discovery: Discovery) -> bool:
        """Leave a question behind that is out for longer than it may be; whether it was."""
        if self._now() - self._asked_at[key] < discovery.timeout_s:
            return False
        task = self._asking.pop(key)
        task.cancel()
        module = discovery.name.partition(".")[0]
        words = f"{discovery.name} did not return within {discovery.timeout_s:g} s"
        self._note(module, "hangs", words, key[0])
        left = self._left.setdefault(module, set())
        left.add(task)
        task.add_done_callback(left.discard)
        return True

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _ask(self, node: str, discovery: Discovery) -> None:
        key = (node, discovery.name)
        if key in self._asking:
            return
        if len(self._left.get(discovery.name.partition(".")[0], ())) >= MOST_LEFT_BEHIND:
            self._head.feed(DiscoveryFailed(node, discovery.name, "its module hangs", RELOAD))
            return
        task = asyncio.create_task(self._discover(node, discovery))
        self._asking[key], self._asked_at[key] = task, self._now()
        task.add_done_callback(lambda _: self._asked(key, discovery, task))

    def _asked(self, key: tuple[str, str], discovery: Discovery, task: asyncio.Task[None]) -> None:
        if self._asking.get(key) is not task:
            return  # it was left behind
        del self._asking[key], self._asked_at[key]
        if key in self._again:
            self._again.discard(key)
            self._awaited.add(key)  # if this one fails, the engine wants to know why
            self._ask(key[0], discovery)

    async def _discover(self, name: str, discovery: Discovery) -> None:
        node = self._head.nodes.get(name)
        if node is None or discovery.handler is None:
            return
        module = discovery.name.partition(".")[0]
        current_module.set(module)
        error = await outcome(partial(discovery.handler, node, self._io))
        if error is not None:
            self._raised(module, discovery.name, error, name)
        awaited = (name, discovery.name) in self._awaited
        self._awaited.discard((name, discovery.name))
        if error is not None and awaited and name in self._head.nodes:
            self._head.feed(DiscoveryFailed(name, discovery.name, reason(error), next_step(error)))

    def _raised(self, module: str, what: str, error: Exception, node: str) -> None:
        if isinstance(error, KedgeError) and error.code == "bug":
            self._note(module, "raised", f"{what}: {error.what}", node)

    def forget(self, node: str) -> None:
        """End all that runs for a node that the site no longer knows."""
        for tasks in (self._steps, self._asking):
            for key, task in list(tasks.items()):
                if key[0] == node:
                    task.cancel()
        self._steps = {key: task for key, task in self._steps.items() if key[0] != node}

    async def close(self) -> None:
        """Cancel all handlers and wait for them."""
        self._again.clear()
        left = [task for tasks in self._left.values() for task in tasks]
        await ended([*self._steps.values(), *self._asking.values(), *left])


def reason(error: Exception) -> str:
    """What the operator reads as the reason."""
    if isinstance(error, KedgeError):
        return f"{error.what} ({error.why})" if error.why else error.what
    return "did not answer in time" if isinstance(error, TimeoutError) else str(error)


def next_step(error: Exception) -> str:
    """What the operator may do about it."""
    return error.next_step if isinstance(error, KedgeError) else ""
