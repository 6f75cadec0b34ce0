"""An asyncio event loop in virtual time: one for each simulated process.

Production code that awaits, sleeps, spawns tasks and opens datagram endpoints runs on it unchanged. Its
time is its machine's clock; it does no I/O and has no threads: a call to an executor runs in one go,
some virtual milliseconds later. Because a process is a loop, it can be stopped for a while, held up by
a slow call, or killed between (or in the middle of) two steps.
"""

# An event loop has to run handles, which asyncio lets nobody else do.
# pyright: reportPrivateUsage=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

from kedge.lib.errors import KedgeError
from kedge.sim.world.clock import MachineClock
from kedge.sim.world.time import World

T = TypeVar("T")

EXECUTOR_WORKERS = 256
LAST_STEPS = 100_000
"""How many steps the clean-up of a killed process may take."""


class Killed(BaseException):
    """Raised inside a process that dies at this very point of its code."""


class Step(asyncio.TimerHandle):
    """One call of a loop, at its time: asyncio's own handle, without what costs time and is for debugging
    only. Half of all that a simulated world does is to make these."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: Loop,
        context: contextvars.Context | None,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        """Do not make the call. It stays in the world's queue, and is passed over."""
        self._cancelled = True
        self._callback, self._args = None, ()

    def run(self) -> None:
        """Make the call, if its process is able to."""
        self._loop.run_handle(self)


class Loop(asyncio.AbstractEventLoop):
    """The event loop of one simulated process on the machine ``end``; ``told_of`` hears of exceptions
    that nobody caught."""

    def __init__(
        self,
        world: World,
        end: str,
        clock: MachineClock,
        told_of: Callable[[str, BaseException | None], None],
    ) -> None:
        self.world = world
        self.end = end
        self.clock = clock
        self.alive = True
        self._told_of = told_of
        self._stopped_until = 0.0
        self._held_up: deque[Step] = deque()
        self._last: deque[Step] | None = None
        self._running = False
        self._workers = asyncio.Semaphore(EXECUTOR_WORKERS)
        self._late_s = self._in_thread_s = 0.0
        self.blocking_s: Callable[[], float] = lambda: 0.001

    # ---- what asyncio asks of a loop

    def time(self) -> float:
        return self.clock.now() + self._late_s

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = Step(0.0, callback, args, self, context or self._context())
        if self._last is not None:
            self._last.append(handle)
        elif self.alive:
            self.world.soon(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = Step(when, callback, args, self, context or self._context())
        if self.alive:
            self.world.put(self.clock.true_at(when), handle)
        return handle

    def _context(self) -> contextvars.Context | None:
        """What is asked for from outside the process knows nothing of who asked."""
        return None if asyncio._get_running_loop() is self else contextvars.Context()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        coroutine = cast("Coroutine[Any, Any, T]", coro)
        return asyncio.Task(coroutine, loop=self, name=name, context=context or self._context())

    def run_in_executor(
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        async def job() -> T:
            async with self._workers:
                await asyncio.sleep(self.blocking_s())
                answer = self._in_thread(func, *args)
                if not isinstance(answer, Slow):
                    return answer
                await asyncio.sleep(answer.taken_s)
                if answer.error is not None:
                    raise answer.error
                return cast("T", answer.value)

        return self.create_task(job())

    def _in_thread(self, func: Callable[..., T], *args: Any) -> T | Slow:
        """What ``func`` returned or raised, with the time that it said it takes."""
        self._in_thread_s = 0.0
        try:
            answer = func(*args)
        except KedgeError as error:
            return Slow(self._in_thread_s, error=error)
        return Slow(self._in_thread_s, answer) if self._in_thread_s else answer

    def takes_in_thread(self, seconds: float) -> None:
        """Called by what stands for a blocking call: it takes so much longer."""
        self._in_thread_s += seconds

    async def create_datagram_endpoint(
        self, protocol_factory: Callable[[], Any], *_: Any, sock: Any, **__: Any
    ) -> tuple[Any, Any]:
        protocol = protocol_factory()
        transport = sock.transport(protocol, self)
        self.call_soon(protocol.connection_made, transport)
        return transport, protocol

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.alive:
            self._told_of(str(context.get("message", "")), error)

    default_exception_handler = call_exception_handler

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    # ---- what the world does to a process

    def run_handle(self, handle: Step) -> None:
        """Run a handle at its time; later, if the process is stopped; never, if it is dead."""
        if not self.alive or handle.cancelled():
            return
        if self._held_up or self._stopped_until > self.world.now:
            self._held_up.append(handle)
            return
        self._running = True
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            handle._run()
        finally:
            asyncio._set_running_loop(outer)
            self._running = False
            self._late_s = 0.0
        if not self.alive:
            self._take_apart()

    def enter(self, call: Callable[..., object], *args: Any) -> None:
        """Call something inside this process, as soon as it runs."""
        self.call_soon(call, *args)

    def stop_until(self, when: float) -> None:
        """The process does not run until ``when`` (true time); what comes meanwhile waits for it."""
        if when > self._stopped_until:
            self._stopped_until = when
            self.world.at(when, self._go_on)

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still now, or has not caught up yet."""
        return bool(self._held_up) or self._stopped_until > self.world.now

    def hold_up(self, seconds: float) -> None:
        """The handle that runs now takes this long: its own clock sees it, and all others wait."""
        self._late_s += seconds
        self.stop_until(self.world.now + self._late_s)

    def _go_on(self) -> None:
        if self._stopped_until > self.world.now or not self.alive:
            return
        waiting, self._held_up = self._held_up, deque()
        for handle in waiting:
            self.world.soon(handle)

    def kill(self) -> None:
        """The process is no more: from here on nothing that its code does has any effect."""
        if self.alive:
            self.alive = False
            if not self._running:
                self._take_apart()

    def _take_apart(self) -> None:
        """Let the dead process's code clean up, cut off from everything that it could change."""
        waiting = (step for step in self.world.due() if isinstance(step, Step))
        self._last = deque(h for h in (*self._held_up, *waiting) if h._loop is self)
        self._held_up.clear()
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            tasks = asyncio.all_tasks(self)
            for task in tasks:
                task.cancel()
            for _ in range(LAST_STEPS):
                if not self._last:
                    break
                handle = self._last.popleft()
                if not handle.cancelled():
                    handle._run()
            for task in tasks:
                coroutine = task.get_coro()
                if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == (
                    inspect.CORO_CREATED
                ):
                    coroutine.close()
                task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            asyncio._set_running_loop(outer)


class Slow:
    """What a simulated blocking call returns to say how long its answer takes, and what it is."""

    __slots__ = ("error", "taken_s", "value")

    def __init__(self, taken_s: float, value: Any = None, error: Exception | None = None) -> None:
        self.taken_s = taken_s
        self.value = value
        self.error = error
