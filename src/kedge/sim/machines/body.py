"""What a simulated machine gives to the production agent that runs on it.

Orders run as tasks of the machine, init and files are the machine's, memory is lost with the power.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from kedge.agent.agent import Agent
from kedge.agent.duties.init_state import InitState
from kedge.agent.keeping import Keeping
from kedge.agent.machine import Machine
from kedge.agent.orders import Duty
from kedge.agent.place import Place
from kedge.agent.process import Process, Tell
from kedge.agent.travelling import Declared, Worker
from kedge.lib.errors import KedgeError
from kedge.lib.host_files import HostFile, files_digest
from kedge.sim.world.clock import MachineClock
from kedge.sim.world.sockets import PlainSocket
from kedge.sim.world.time import Timer, World

Job = Callable[[dict[str, Any], Mapping[str, bytes], Tell], Coroutine[Any, Any, dict[str, Any]]]
"""An order's work: arguments, configured record, progress."""

EVERYTHING = 1 << 20


class Owner(Protocol):
    """The machine, as far as its agent needs it."""

    world: World
    clock: MachineClock
    frozen: bool

    @property
    def jobs(self) -> Mapping[str, Job]: ...
    def random_bytes(self, count: int) -> bytes: ...
    def open_socket(self, woken: Callable[[], None]) -> PlainSocket: ...
    def facts(self) -> dict[str, Any]: ...
    def init_state(self) -> InitState: ...
    def write_files(self, files: tuple[HostFile, ...]) -> None: ...
    def go_down(self, action: str) -> None: ...
    def begin(self, work: Coroutine[Any, Any, None]) -> Callable[[], object]: ...
    def holds(self, agent: Agent) -> None: ...
    def observe(self, declared: Declared) -> Job: ...
    def carry_out(self, declared: Declared, mutation: str) -> Job: ...


class Memory(Keeping):
    """What an agent keeps below /run: gone when the power is."""

    def __init__(self) -> None:
        self.directory = Path("/run/kedge/agent")
        self._kept: dict[str, bytes] = {}

    def save(self, name: str, content: bytes) -> None:
        self._kept[name] = content

    def load(self, name: str) -> bytes | None:
        return self._kept.get(name)

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)


class Body(Machine):
    """A simulated machine, as the agent asks of it."""

    def __init__(self, owner: Owner, woken: Callable[[], None]) -> None:
        self._owner = owner
        self._woken = woken
        self.duties = {name: _later(job) for name, job in owner.jobs.items()}

    def now(self) -> float:
        return self._owner.clock.now()

    def random_bytes(self, count: int) -> bytes:
        return self._owner.random_bytes(count)

    def open_socket(self, parents: tuple[tuple[str, int], ...]) -> Any:
        return self._owner.open_socket(self._woken)

    def start(self, work: Callable[[Tell], None]) -> Process:
        return cast("Process", Work(self._owner, work, self._woken))

    @property
    def worker(self) -> Worker:
        return Worker(self._observe, self._carry_out)

    def _observe(self, place: Place, declared: Declared, tell: Tell) -> None:
        """Files of duties are not run in the simulated world: the machine says what they would see."""
        raise _Asked(self._owner.observe(declared), {}, {})

    def _carry_out(
        self, place: Place, declared: Declared, mutation: str, args: dict[str, Any], tell: Tell
    ) -> dict[str, Any]:
        raise _Asked(self._owner.carry_out(declared, mutation), args, {})

    def facts(self) -> dict[str, Any]:
        return self._owner.facts()

    def init_state(self, place: Place, *, systemd: bool) -> InitState:
        return self._owner.init_state()

    def open_wake(self, place: Place) -> int | None:
        return None

    def join_unit(self, place: Place) -> str:
        return ""

    def apply_files(self, place: Place, files: tuple[HostFile, ...]) -> str:
        self._owner.write_files(files)
        return files_digest(files)

    def shut_down(self, place: Place, action: str) -> None:
        self._owner.go_down(action)


class _Asked(Exception):
    """Carries what an order wants from the agent's synchronous call to the machine's task."""

    def __init__(self, job: Job, args: dict[str, Any], record: Mapping[str, bytes]) -> None:
        self.job, self.args_given, self.record = job, args, record


def _later(job: Job) -> Duty:
    def duty(
        place: Place, args: dict[str, Any], record: Mapping[str, bytes], tell: Tell
    ) -> dict[str, Any]:
        raise _Asked(job, args, record)

    return duty


class Work:
    """Stands for `kedge.agent.process.Process`: an order's work as a task of its machine."""

    descriptor = -1

    def __init__(
        self, owner: Owner, work: Callable[[Tell], None], woken: Callable[[], None]
    ) -> None:
        self._woken = woken
        self._messages: list[dict[str, Any]] = []
        self._code: int | None = None
        self._cancel: Callable[[], object] = lambda: None
        try:
            work(self._tell)
            self._end(0)
        except _Asked as asked:
            self._cancel = owner.begin(self._carry_out(asked.job, asked))

    async def _carry_out(self, job: Job, asked: _Asked) -> None:
        try:
            result = await job(asked.args_given, asked.record, self._tell)
        except KedgeError as problem:
            self._tell({"error": problem.as_dict()})
            self._end(1)
        else:
            self._tell({"result": result})
            self._end(0)

    def _tell(self, message: dict[str, Any]) -> None:
        self._messages.append(json.loads(json.dumps(message)))
        self._woken()

    def _end(self, code: int) -> None:
        if self._code is None:
            self._code = code
            self._woken()

    def messages(self) -> list[dict[str, Any]]:
        """What has come."""
        found, self._messages = self._messages, []
        return found

    @property
    def readable(self) -> bool:
        """Whether there is something to read: a message, or the end."""
        return bool(self._messages) or self._code is not None

    @property
    def ended(self) -> bool:
        """Whether no more messages will come."""
        return self._code is not None and not self._messages

    def close(self) -> int:
        """Its exit code."""
        assert self._code is not None
        return self._code

    def kill(self) -> None:
        """End it."""
        self._cancel()
        self._end(-9)


class AgentRun:
    """A production agent, from its start to its end. ``ended`` hears its exit code."""

    def __init__(
        self,
        owner: Owner,
        stage: str,
        place_of: Callable[[str], Place],
        ended: Callable[[int], None],
    ) -> None:
        self._owner = owner
        self._ended = ended
        self._timer: Timer | None = None
        self._due = False
        self._over = False
        self.agent: Agent | None = None
        self._begin(place_of(stage))

    def _begin(self, place: Place) -> None:
        try:
            self.agent = Agent(place, lambda text: None, Body(self._owner, self.wake))
        except KedgeError:
            self._finish(1)
            return
        if self.agent.begin():
            self.wake()
        else:
            self._finish(0)

    def wake(self) -> None:
        """Something has come: have a turn."""
        if not self._due and not self._over:
            self._due = True
            self._owner.world.at(self._owner.world.now, self._turn)

    def _turn(self) -> None:
        self._due = False
        agent = self.agent
        if self._over or agent is None or self._owner.frozen:
            return
        agent.up.receive()
        process = cast("Work | None", agent.orders.process)
        if process is not None and process.readable:
            agent.hear_order()
        process = cast("Work | None", agent.duties.process)
        if process is not None and process.readable:
            agent.hear_duty()
        self._owner.holds(agent)
        if not agent.turn():
            self.stop()
            agent.end()
            self._ended(0)
            return
        if self._timer is not None:
            self._timer.cancel()
        # A hair late, so that no rounding between the clocks brings it back before it is due.
        when = self._owner.clock.true_at(agent.wake_at()) + 1e-6
        self._timer = self._owner.world.at(when, self.wake)

    def _finish(self, code: int) -> None:
        self._over = True
        self._owner.world.at(self._owner.world.now, self._ended, code)

    def kill(self) -> None:
        """Kill the process; whoever waits for it hears of that."""
        self.stop()
        self._finish(-9)

    def stop(self) -> None:
        """The process is no more."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self.agent is not None:
            cast("PlainSocket", self.agent.up.socket).close()
            for process in (self.agent.orders.process, self.agent.duties.process):
                if process is not None:
                    process.kill()
