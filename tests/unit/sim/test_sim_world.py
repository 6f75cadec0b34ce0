"""The world's queue, clocks and streams: one seed, one order, one outcome."""

from __future__ import annotations

from kedge.sim.world.clock import WALL_BEGAN_AT, MachineClock
from kedge.sim.world.streams import Streams
from kedge.sim.world.time import World


def test_things_happen_at_their_time_and_in_the_order_they_were_asked_for() -> None:
    world = World(1)
    seen: list[tuple[float, str]] = []

    def note(what: str) -> None:
        seen.append((world.now, what))

    world.at(2.0, note, "late")
    world.at(1.0, note, "first")
    world.at(1.0, note, "second")
    world.at(1.0, lambda: world.after(0.0, note, "at once"))
    cancelled = world.at(1.5, note, "never")
    cancelled.cancel()
    world.run_until(1.75)
    assert seen == [(1.0, "first"), (1.0, "second"), (1.0, "at once")]
    assert world.now == 1.75
    world.run_until(2.0)
    assert seen[-1] == (2.0, "late")


def test_a_halted_world_stands_still() -> None:
    world = World(1)

    def halt() -> None:
        world.halted = True

    world.at(1.0, halt)
    world.at(2.0, lambda: seen.append(1))
    seen: list[int] = []
    world.run_until(10.0)
    assert world.now == 1.0
    assert seen == []


def test_a_draw_from_one_stream_changes_no_other() -> None:
    one, two = Streams(7), Streams(7)
    one("a").random()
    assert one("b").random() == two("b").random()
    assert one("a").random() != Streams(8)("a").random()
    assert two("a").random() == Streams(7)("a").random()


def test_clocks_drift_and_only_the_wall_jumps() -> None:
    world = World(1)
    clock = MachineClock(world.time, start=100.0, rate=1.5)
    world.run_until(10.0)
    assert clock.now() == 115.0
    assert world.now == clock.true_at(clock.now())
    assert clock.wall() == WALL_BEGAN_AT + 15.0
    clock.wall_offset_s = -3600.0
    assert clock.wall() == WALL_BEGAN_AT + 15.0 - 3600.0
    assert clock.now() == 115.0
    clock.run_at(0.5)
    world.run_until(20.0)
    assert clock.now() == 120.0
    assert abs(clock.true_at(125.0) - 30.0) < 1e-9


def test_a_timer_is_never_due_before_its_clock_shows_it() -> None:
    chance = Streams(5)("clocks")
    for _ in range(2000):
        world = World(1)
        clock = MachineClock(world.time, start=1000.0, rate=1.0 + chance.uniform(-1e-3, 1e-3))
        moment = 1000.0 + chance.uniform(0.0, 1e6)
        world.run_until(clock.true_at(moment))
        assert moment <= clock.now() < moment + 1e-6
