"""kedge serve as a process: the lock, the service manager, the end in order, and the end by force."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.cli.main import run
from kedge.cli.serve import LineFormatter, notify, only_one
from kedge.lib.errors import KedgeError

START_S = 60.0


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A head that serves nothing on the network but the agents' port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    path = tmp_path / "kedge.yaml"
    path.write_text(
        f"state_dir: {tmp_path}/state\n"
        f"sync: {{ address: 127.0.0.1, port: {port} }}\n"
        'boot: { dhcp: "off", tftp: false, router_advertisements: false }\n'
    )
    for name in ("KEDGE_API", "KEDGE_TOKEN_FILE", "NOTIFY_SOCKET", "JOURNAL_STREAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEDGE_CONFIG", str(path))
    return path


@contextlib.contextmanager
def serving(config: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kedge.cli.main", "serve"],
        env={**os.environ, "KEDGE_CONFIG": str(config), **environment},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def until_it_answers(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_S
    while run(["status", "-o", "json"]) != 0:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_it_serves_until_it_is_told_to_end(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(config) as process:
        until_it_answers(process)
        assert run(["serve"]) == 1
        told = capsys.readouterr().err
        assert f"process {process.pid}" in told and "runs already" in told
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "serves" in log and log.rstrip().endswith("kedge: stopped") and "Traceback" not in log
    assert not (config.parent / "state" / "api.sock").exists()
    assert run(["status"]) == 5


def test_it_starts_again_after_kill_9(config: Path) -> None:
    for _ in range(2):
        with serving(config) as process:
            until_it_answers(process)
            process.kill()


def test_the_service_manager_is_told(config: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(START_S)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with serving(config, JOURNAL_STREAM="8:1", **environment) as process:
            assert sock.recv(100).startswith(b"READY=1")
            assert [sock.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            process.send_signal(signal.SIGTERM)
            while (told := sock.recv(100)) == b"WATCHDOG=1":
                pass
            assert told == b"STOPPING=1"
            _, log = process.communicate(timeout=20)
        assert process.returncode == 0 and log.startswith("<6>kedge: kedge ")


def test_a_taken_port_ends_it_with_a_clear_error(config: Path) -> None:
    port = int(config.read_text().split("port: ")[1].split()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        with serving(config) as process:
            _, log = process.communicate(timeout=START_S)
    assert process.returncode == 1 and f"127.0.0.1:{port}" in log and "Traceback" not in log


def test_a_lock_is_free_again_when_its_holder_is_gone(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(KedgeError, match="runs already"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_without_a_service_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    assert not notify("READY=1")


def test_a_message_is_one_line() -> None:
    record = logging.LogRecord("kedge", logging.ERROR, "", 0, "two\nlines", (), None)
    assert LineFormatter(journal=True).format(record) == "<3>kedge: two | lines"
    assert LineFormatter(journal=False).format(record).endswith(" E kedge: two | lines")
