"""Virtual event loops: production code awaits on them, and processes stop, stall and die."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from kedge.master.modules.lanes import Lanes
from kedge.master.process.supervisor import Supervisor
from kedge.sim.world.clock import MachineClock
from kedge.sim.world.loop import Killed, Loop, Slow
from kedge.sim.world.time import World


class Bench:
    """A world with one process, and what it did."""

    def __init__(self, rate: float = 1.0) -> None:
        self.world = World(1)
        self.failures: list[tuple[str, BaseException | None]] = []
        clock = MachineClock(self.world.time, start=50.0, rate=rate)
        self.loop = Loop(
            self.world, "head", clock, lambda what, error: self.failures.append((what, error))
        )
        self.seen: list[tuple[float, Any]] = []

    def note(self, what: Any) -> None:
        self.seen.append((round(self.world.now, 6), what))


async def test_nothing_of_the_real_loop_is_used() -> None:
    bench = Bench()
    real = asyncio.get_running_loop()

    async def look() -> None:
        bench.note(asyncio.get_running_loop() is bench.loop)

    bench.loop.create_task(look())
    bench.world.run_until(1.0)
    assert bench.seen == [(0.0, True)]
    assert asyncio.get_running_loop() is real


def test_sleeps_timeouts_queues_and_tasks_take_virtual_time() -> None:
    bench = Bench()

    async def work() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def produce() -> None:
            await asyncio.sleep(3600.0)
            queue.put_nowait(7)

        task = asyncio.create_task(produce())
        try:
            async with asyncio.timeout(10.0):
                await queue.get()
        except TimeoutError:
            bench.note("nothing came")
        bench.note(await queue.get())
        await task

    bench.loop.create_task(work())
    bench.world.run_until(4000.0)
    assert bench.seen == [(10.0, "nothing came"), (3600.0, 7)]


def test_a_fast_clock_makes_sleeps_shorter_in_true_time() -> None:
    bench = Bench(rate=2.0)

    async def work() -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(10.0)
        bench.note(asyncio.get_running_loop().time() - began)

    bench.loop.create_task(work())
    bench.world.run_until(100.0)
    assert bench.seen == [(5.0, 10.0)]


def test_a_hung_call_holds_its_own_lane_and_no_other() -> None:
    bench = Bench()

    async def ask(lanes: Lanes, lane: str, call: Callable[[], Any], timeout_s: float) -> None:
        try:
            bench.note((lane, await lanes.call(lane, call, timeout_s=timeout_s)))
        except TimeoutError:
            bench.note((lane, "timed out"))

    async def work() -> None:
        lanes = Lanes()
        await asyncio.gather(
            ask(lanes, "hung", lambda: Slow(40.0, "late"), 28.0),
            ask(lanes, "hung", lambda: "behind it", 28.0),
            ask(lanes, "well", lambda: Slow(1.0, "answer"), 28.0),
        )
        await ask(lanes, "hung", lambda: "again", 28.0)

    bench.loop.create_task(work())
    bench.world.run_until(100.0)
    assert [what for _, what in bench.seen] == [
        ("well", "answer"), ("hung", "timed out"), ("hung", "timed out"), ("hung", "again"),
    ]  # fmt: skip
    assert bench.seen[1][0] == 28.0
    assert 40.0 < bench.seen[3][0] < 41.0


def test_the_supervisor_starts_a_service_again_later_each_time() -> None:
    bench = Bench()

    async def service() -> None:
        bench.note("start")
        raise TimeoutError("no")

    async def work() -> None:
        Supervisor(lambda name, why: None).spawn("service", service)

    bench.loop.create_task(work())
    bench.world.run_until(10.0)
    assert [at for at, _ in bench.seen] == [0.0, 0.5, 1.5, 3.5, 7.5]


def test_a_stopped_process_does_everything_late_and_in_order() -> None:
    bench = Bench()
    for at in (1.0, 2.0, 6.0):
        bench.loop.call_later(at, bench.note, at)
    bench.loop.stop_until(5.0)
    bench.world.run_until(10.0)
    assert bench.seen == [(5.0, 1.0), (5.0, 2.0), (6.0, 6.0)]


def test_a_slow_call_holds_up_its_process_and_shows_on_its_clock() -> None:
    bench = Bench()

    def slow() -> None:
        bench.loop.hold_up(3.0)
        bench.note(bench.loop.time())

    bench.loop.call_later(1.0, slow)
    bench.loop.call_later(2.0, lambda: bench.note(bench.loop.time()))
    bench.world.run_until(10.0)
    assert bench.seen == [(1.0, 54.0), (4.0, 54.0)]


@pytest.mark.parametrize("inside", [False, True])
def test_a_killed_process_does_nothing_more_but_its_code_is_taken_apart(inside: bool) -> None:
    bench = Bench()
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1.0)
            if inside:
                bench.loop.kill()
                raise Killed
            await asyncio.sleep(1000.0)
        finally:
            asyncio.get_running_loop().call_later(0.0, bench.note, "from the grave")
            cleaned.append("done")

    bench.loop.create_task(work())
    bench.loop.call_later(1.0, bench.note, "alive")
    bench.loop.call_later(5.0, bench.note, "never")
    if not inside:
        bench.world.at(2.0, bench.loop.kill)
    bench.world.run_until(100.0)
    assert bench.seen == [(1.0, "alive")]
    assert cleaned == ["done"]
    assert bench.failures == []


def test_an_exception_that_nobody_catches_is_told() -> None:
    bench = Bench()
    bench.loop.call_later(1.0, lambda: 1 // 0)
    bench.world.run_until(2.0)
    assert isinstance(bench.failures[0][1], ZeroDivisionError)


def test_a_process_knows_nothing_of_who_asked_it_from_outside() -> None:
    asked_by = contextvars.ContextVar("asked_by", default="nobody")
    bench = Bench()
    other = Loop(bench.world, "n1", MachineClock(bench.world.time), lambda what, error: None)

    async def look() -> None:
        bench.note(asked_by.get())

    async def work() -> None:
        asked_by.set("head")
        other.create_task(look())
        other.enter(lambda: bench.note(asked_by.get()))
        await asyncio.create_task(look())

    bench.loop.create_task(work())
    bench.world.run_until(1.0)
    assert [what for _, what in bench.seen] == ["nobody", "nobody", "head"]
