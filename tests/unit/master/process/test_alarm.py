"""One timer that is set again and again."""

from __future__ import annotations

import asyncio

from kedge.master.process.alarm import Alarm
from kedge.master.process.clock import Clock


def test_an_alarm_rings_once_at_the_last_moment_that_was_said():
    async def work() -> None:
        clock, rung = Clock(), list[float]()
        alarm = Alarm(clock, lambda: rung.append(clock.now()))
        began = clock.now()
        alarm.set(began + 30.0)
        alarm.set(began + 0.02)
        await asyncio.sleep(0.06)
        assert len(rung) == 1 and rung[0] >= began + 0.02
        alarm.set(began + 0.02)  # the same moment again, which has passed
        await asyncio.sleep(0.02)
        assert len(rung) == 2
        alarm.set(clock.now() + 0.01)
        alarm.set(None)
        alarm.set(clock.now() + 0.01)
        alarm.cancel()
        await asyncio.sleep(0.03)
        assert len(rung) == 2

    asyncio.run(work())


def test_saying_the_same_moment_again_sets_no_new_timer():
    async def work() -> None:
        alarm = Alarm(Clock(), lambda: None)
        alarm.set(1e9)
        timer = alarm._timer
        alarm.set(1e9)
        assert alarm._timer is timer
        alarm.cancel()

    asyncio.run(work())
