"""The whole agent in a process of its own, against a real parent over real sockets on loopback."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from layer0_head import Head

from kedge.agent.agent import Agent
from kedge.agent.duties import power
from kedge.agent.machine import Machine
from kedge.agent.place import Place
from kedge.lib.host_files import HostFile, files_digest
from kedge.sync.events import Joined, Resumed

FILE = {
    "path": "/etc/motd",
    "uid": os.getuid(),
    "gid": os.getgid(),
    "content": base64.b64encode(b"hello").decode(),
}


class Running:
    """An agent in a forked process."""

    def __init__(self, place: Place, machine: Machine | None = None) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            with contextlib.suppress(KeyboardInterrupt):
                code = Agent(place, lambda text: None, machine).run()
            os._exit(code)
        self.code: int | None = None

    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def kill(self) -> None:
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.code = -9


@pytest.fixture
def start() -> Iterator[Callable[[Place], Running]]:
    started: list[Running] = []

    def run(place: Place, machine: Machine | None = None) -> Running:
        started.append(Running(place, machine))
        return started[-1]

    yield run
    for agent in started:
        agent.kill()


def test_it_joins_and_reports_and_refuses_what_it_does_not_know(
    start: Any, place_at: Any, head: Head
) -> None:
    head.configure({"order/strange.thing": {"id": "1", "args": {}}})
    start(place_at("layer0"))
    head.wait(lambda: head.discovered("boot.stage") == "layer0", 10)
    head.wait(lambda: (head.discovered("order/strange.thing") or {}).get("status") == "failed", 10)
    assert head.discovered("order/strange.thing")["error"]["code"] == "agent.unknown_order"
    assert head.discovered("facts")["cpus"] >= 1
    assert head.discovered("image.running") is None


class Standing(Machine):
    """A machine that only notes that it is told to go down."""

    def shut_down(self, place: Place, action: str) -> None:
        (place.run / "told to go down").write_text(action)


def test_an_agent_that_leaves_waits_for_the_last_acknowledgement_and_no_longer(
    start: Any, place_at: Any, head: Head
) -> None:
    place = place_at("layer0")
    agent = start(place, Standing())
    head.wait(lambda: head.discovered("boot.stage") == "layer0", 10)
    head.configure({f"order/{power.NAME}": {"id": "1", "args": {"action": "off"}}})
    head.wait(lambda: (head.discovered(f"order/{power.NAME}") or {}).get("status") == "done", 10)
    head.wait(agent.ended, 2.5)  # its patience with a head that does not answer is three seconds
    assert agent.code == 0
    assert (place.run / "told to go down").read_text() == "off"


def test_a_bad_image_order_fails_and_the_node_stays(start: Any, place_at: Any, head: Head) -> None:
    start(place_at("layer0"))
    for number, args in enumerate(
        [
            {},
            {"digest": "sha256:" + "0" * 64, "layers": []},
            {
                "digest": "sha256:" + "0" * 64,
                "layers": [{"blob": "../etc/passwd", "size_bytes": 1}],
            },
            {"digest": "latest", "layers": [{"blob": "sha256:" + "0" * 64, "size_bytes": 1}]},
        ]
    ):
        head.configure({"order/image.activate": {"id": str(number), "args": args}})
        head.wait(
            lambda n=str(number): (
                (answer := head.discovered("order/image.activate") or {}).get("id") == n
                and answer["status"] == "failed"
            ),
            10,
        )
        assert head.discovered("order/image.activate")["error"]["code"] == "image.bad_order"
    assert head.discovered("boot.stage") == "layer0"


def test_a_killed_agent_goes_on_with_the_key_that_replaced_the_token(
    start: Any, place_at: Any, head: Head
) -> None:
    place = place_at("layer0")
    first = start(place)
    head.wait(lambda: head.discovered("boot.stage") == "layer0", 10)
    first.kill()
    assert (place.keeping.directory / "session").stat().st_mode & 0o777 == 0o600
    assert place.keeping.directory.stat().st_mode & 0o777 == 0o700
    start(place)
    head.wait(lambda: any(isinstance(e, Resumed) for e in head.events), 10)
    assert sum(isinstance(e, Joined) for e in head.events) == 1


@pytest.fixture
def systemd(place_at: Any, tmp_path: Path) -> Iterator[FakeSystemd]:
    folder = tmp_path / "root/run/systemd"
    folder.mkdir(parents=True)
    fake = FakeSystemd(folder / "private")
    yield fake
    fake.close()


def test_running_is_reported_only_when_init_is_up_and_files_change_live(
    start: Any, place_at: Any, head: Head, systemd: FakeSystemd, tmp_path: Path
) -> None:
    place = place_at("running")
    image = "sha256:" + "1" * 64
    place.keeping.save_object(
        "state.json",
        {
            "image": image,
            "files": None,
            "systemd": True,
            "orders": {"image.activate": {"id": "1", "status": "running"}},
        },
    )
    record = {"order/image.activate": {"id": "1", "args": {}}, "files": [FILE]}
    head.configure(record)
    start(place)
    head.wait(lambda: head.discovered("init.state") == "starting", 10)
    assert head.discovered("boot.stage") is None
    systemd.state = "degraded"
    head.wait(lambda: head.discovered("boot.stage") == "running", 10)
    assert head.discovered("image.running") == image
    assert head.discovered("order/image.activate") == {"id": "1", "status": "done"}
    assert head.discovered("init.failed") == ["broken.service"]
    motd = HostFile("/etc/motd", b"hello", 0o644, os.getuid(), os.getgid())
    head.wait(lambda: head.discovered("files.running") == files_digest([motd]), 10)
    assert (tmp_path / "root/etc/motd").read_bytes() == b"hello"

    head.configure(record | {"files": [FILE | {"path": "/etc/../x"}]})
    head.wait(lambda: head.discovered("files.error") is not None, 10)
    assert head.discovered("files.error")["code"] == "files.refused"
    assert (tmp_path / "root/etc/motd").read_bytes() == b"hello"
    head.configure(record | {"files": []})
    head.wait(lambda: head.discovered("files.error") is None, 10)
    head.wait(lambda: head.discovered("files.running") == files_digest([]), 10)
    assert not (tmp_path / "root/etc/motd").exists()


def test_an_init_that_does_not_come_up_is_given_up_with_what_it_waits_for(
    start: Any, place_at: Any, head: Head, systemd: FakeSystemd
) -> None:
    place = place_at("running")
    state = {
        "image": "sha256:" + "1" * 64, "systemd": True, "start_within_s": 1,
        "handed_over_at": Machine().now(),
        "orders": {"image.activate": {"id": "1", "status": "running"}},
    }  # fmt: skip
    place.keeping.save_object("state.json", state)
    head.configure({"order/image.activate": {"id": "1", "args": {}}})
    start(place)
    head.wait(lambda: head.discovered("boot.stage") == "stuck", 10)
    answer = head.discovered("order/image.activate")
    assert (answer["id"], answer["status"]) == ("1", "failed")
    assert answer["error"]["what"] == "the system was not up within 1 s"
    assert answer["error"]["why"] == (
        "the init is starting, and waits for hangs.service; failed: broken.service"
    )
    systemd.state = "running"  # it comes up all the same
    head.wait(lambda: head.discovered("boot.stage") == "running", 25)
    assert head.discovered("image.running") == state["image"]


class FakeSystemd:
    """Answers the few D-Bus calls the agent makes, with bytes laid out by hand from the specification."""

    def __init__(self, path: Path) -> None:
        self.state = "starting"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        received = b""
        while b"BEGIN\r\n" not in received:
            received += connection.recv(4096)
        assert received.startswith(b"\0AUTH EXTERNAL ")
        connection.sendall(b"OK 1234deadbeef\r\n")
        while message := connection.recv(65536):
            serial = int.from_bytes(message[8:12], "little")
            signature, body = self._answer(message)
            fields = b"\5\1u\0" + serial.to_bytes(4, "little")
            fields += b"\x08\1g\0" + bytes([len(signature)]) + signature + b"\0"
            head = b"l\2\1\1" + len(body).to_bytes(4, "little") + (7).to_bytes(4, "little")
            head += len(fields).to_bytes(4, "little") + fields
            connection.sendall(head + b"\0" * (-len(head) % 8) + body)

    def _answer(self, message: bytes) -> tuple[bytes, bytes]:
        def text(value: bytes) -> bytes:
            return len(value).to_bytes(4, "little") + value + b"\0"

        variant_text = b"\1s\0\0"
        if b"SystemState" in message:
            return b"v", variant_text + text(self.state.encode())
        if b"ActiveState" in message:
            return b"v", variant_text + text(b"inactive")
        if b"NFailedUnits" in message:
            return b"v", b"\1u\0\0" + (1).to_bytes(4, "little")
        if b"ListJobs" in message:
            return b"a(usssoo)", self._jobs()
        unit = text(b"broken.service")  # one unit as a structure of two texts
        unit += b"\0" * (-len(unit) % 4) + text(b"a broken service")
        return b"a(ss)", len(unit).to_bytes(4, "little") + b"\0" * 4 + unit

    def _jobs(self) -> bytes:
        """Two jobs, each a number, the unit, the kind of job, its state, and two paths."""

        def job(number: int, *texts: bytes) -> bytes:
            packed = number.to_bytes(4, "little")
            for value in texts:
                packed += b"\0" * (-len(packed) % 4)
                packed += len(value).to_bytes(4, "little") + value + b"\0"
            return packed + b"\0" * (-len(packed) % 8)

        jobs = job(1, b"multi-user.target", b"start", b"waiting", b"/job/1", b"/unit/1")
        jobs += job(2, b"hangs.service", b"start", b"running", b"/job/2", b"/unit/2")
        return len(jobs).to_bytes(4, "little") + b"\0" * 4 + jobs
