from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kedge.agent import living_on
from kedge.lib.errors import KedgeError
from kedge.modules.boot import layer0

KEEPER = Path(layer0.__file__).parent / "keep-agent"


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < deadline, f"no {text!r} in {path}"
        time.sleep(0.02)


def stage(tmp_path: Path) -> tuple[Path, Path]:
    """A run directory, and a link that stands for the root of process 1."""
    run, link = tmp_path / "run", tmp_path / "process_1"
    (run / "kedge").mkdir(parents=True)
    (tmp_path / "initramfs").mkdir()
    (tmp_path / "image").mkdir()
    link.symlink_to("initramfs")
    return run, link


LIVES_ON = """
import os, sys
from pathlib import Path
import pytest

from kedge.agent import living_on
living_on.leave_mount_namespace = lambda: None  # for tests of whoever is not root
if living_on.live_on(Path(sys.argv[1]), Path(sys.argv[2])):
    print("the child lives on", os.getpid(), flush=True)
    sys.stdin.close()
    while not Path(sys.argv[3]).exists():
        os.sched_yield()
    sys.exit(0)
print("the parent ends", flush=True)
"""


def test_the_child_goes_on_once_process_1_has_the_images_root(tmp_path: Path) -> None:
    run, link = stage(tmp_path)
    end = tmp_path / "end"
    command = [sys.executable, "-c", LIVES_ON, str(run), str(link), str(end)]
    ran = subprocess.run(command, timeout=30, text=True, capture_output=True, check=True)
    assert ran.stdout == "the parent ends\n"
    log = run / "kedge/agent.log"
    time.sleep(0.2)
    assert not log.exists() or "lives on" not in log.read_text()
    draft = tmp_path / "draft"
    draft.symlink_to("image")
    draft.replace(link)
    wait_for(log, "the child lives on")

    # The keeper waits for the child's end, and not any longer.
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho a new agent >>{log}\n")
    python.chmod(0o755)
    script = KEEPER.read_text().replace("/run/kedge", f"{run}/kedge")
    script = script.replace("/usr/bin/python3", str(python))
    keeper = subprocess.Popen(["busybox", "sh", "-c", script])
    time.sleep(0.3)
    assert "a new agent" not in log.read_text()
    end.touch()
    wait_for(log, "a new agent")
    assert keeper.wait(20) == 0


def test_an_init_that_is_never_started_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, link = stage(tmp_path)
    found = link.stat()
    monkeypatch.setattr(living_on, "HAND_OVER_S", 0.1)
    with pytest.raises(KedgeError) as caught:
        living_on._wait_for_another(link, (found.st_dev, found.st_ino))
    assert caught.value.code == "agent.no_hand_over" and caught.value.next_step
    living_on._wait_for_another(link, (0, 0))


def test_the_keeper_does_not_wait_for_an_agent_that_has_ended(tmp_path: Path) -> None:
    run, _ = stage(tmp_path)
    (run / "kedge/agent").mkdir(parents=True)
    os.mkfifo(run / "kedge/agent/alive")
    script = KEEPER.read_text().replace("/run/kedge", f"{run}/kedge")
    script = script.replace("/usr/bin/python3", "echo")
    ran = subprocess.run(
        ["busybox", "sh", "-c", script], timeout=20, text=True, capture_output=True, check=True
    )
    assert "start-agent.pyc --stage running" in ran.stdout


def test_a_written_pipe_wakes(tmp_path: Path) -> None:
    run, _ = stage(tmp_path)
    assert living_on.open_wake(run) is None
    (run / "kedge/agent").mkdir(parents=True)
    os.mkfifo(run / living_on.WAKE)
    descriptor = living_on.open_wake(run)
    assert descriptor is not None
    assert select.select([descriptor], [], [], 0)[0] == []
    (run / living_on.WAKE).write_text("up\n")
    assert select.select([descriptor], [], [], 5)[0] == [descriptor]
    living_on.drain(descriptor)
    assert select.select([descriptor], [], [], 0)[0] == []
    living_on.drain(descriptor)
    os.close(descriptor)


def test_joining_a_unit_writes_into_its_group_or_says_why_not(tmp_path: Path) -> None:
    assert "No such file" in living_on.join_unit(tmp_path)
    group = tmp_path / "sys/fs/cgroup/systemd" / living_on.UNIT
    group.mkdir(parents=True)
    assert living_on.join_unit(tmp_path) == ""
    assert (group / "cgroup.procs").read_text() == str(os.getpid())


FORKS_TWICE = """
import os, sys
from pathlib import Path
import pytest

from kedge.agent import living_on
path = Path(sys.argv[1])
os.mkfifo(path)
living_on._hold(path)
if os.fork() == 0:
    reader, writer = os.pipe()  # takes the number that was let go
    if os.fork() == 0:
        os.fstat(reader)
        os.write(writer, b"both are open")
        os._exit(0)
    os.close(writer)
    os.wait()
    print(os.read(reader, 99).decode(), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_child_of_a_child_keeps_its_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKS_TWICE, str(tmp_path / "pipe")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "both are open\n", done.stderr
