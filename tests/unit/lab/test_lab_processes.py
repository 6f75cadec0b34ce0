"""Processes are known by their mark and start time, and ended exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from kedge.lab import processes

LAB = f"unit{os.getpid()}"


def spawn(role: str, *command: str, lab: str = LAB) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(command or ("sleep", "60"), env=processes.mark(lab, role))
    deadline = time.monotonic() + 10
    while child.pid not in {p.pid for p in processes.find(lab).values()}:
        assert time.monotonic() < deadline  # a program that just begins has no environment yet
        time.sleep(0.01)
    return child


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    for process in [*processes.find(LAB).values(), *processes.find(LAB + "x").values()]:
        process.send(signal.SIGKILL)


def test_only_processes_with_the_labs_own_mark_are_found() -> None:
    mine, other = spawn("machine-n1"), spawn("machine-n1", lab=LAB + "x")
    plain = subprocess.Popen(["sleep", "60"])
    try:
        assert [p.pid for p in processes.find(LAB).values()] == [mine.pid]
        assert [p.pid for p in processes.find(LAB + "x", "machine-n1").values()] == [other.pid]
        assert processes.find(LAB, "machine-n2") == {}
    finally:
        for child in (mine, other, plain):
            child.kill()
            child.wait()


def test_several_of_one_role_are_all_found() -> None:
    children = [spawn("exec") for _ in range(3)]
    assert {p.pid for p in processes.find(LAB).values()} == {child.pid for child in children}
    assert processes.end(processes.find(LAB).values(), 2.0) == []
    assert [child.wait(1) for child in children] == [-15, -15, -15]


def test_a_stopped_and_a_stubborn_process_end_too() -> None:
    ignore = "import signal,time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    stubborn = subprocess.Popen(
        [sys.executable, "-c", ignore], env=processes.mark(LAB, "a"), stdout=subprocess.PIPE
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    stopped = spawn("b")
    os.kill(stopped.pid, signal.SIGSTOP)
    assert processes.end(processes.find(LAB).values(), 0.3) == []
    assert (stubborn.wait(1), stopped.wait(1)) == (-9, -15)
    stubborn.stdout.close()


def test_a_reused_pid_is_another_process() -> None:
    child = spawn("a")
    real = processes.look(child.pid)
    assert real is not None
    assert real.alive()
    imposter = processes.Process(child.pid, real.start_ticks - 1)
    assert not imposter.alive()
    assert not imposter.send(signal.SIGKILL)
    assert child.poll() is None
    child.kill()
    deadline = time.monotonic() + 5
    while real.alive() and time.monotonic() < deadline:  # a zombie counts as ended
        time.sleep(0.01)
    assert not real.alive()
    assert processes.look(child.pid) is None
    child.wait()
    assert real.memory_bytes() == 0


def test_a_process_knows_its_age_and_memory() -> None:
    me = processes.look(os.getpid())
    assert me is not None
    assert 0 < me.uptime_s() < 3600 * 24
    assert me.memory_bytes() > 1 << 20


def test_the_mark_carries_no_other_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "hunter2")
    assert "hunter2" not in str(processes.mark(LAB, "a"))
