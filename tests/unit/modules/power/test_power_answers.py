"""BMCs that send what they like: answers without an end, and sockets with numbers that select refuses."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.power import answers
from kedge.modules.power.bmc import SAID, Bmc, failed
from kedge.modules.power.ipmi import IpmiDriver
from kedge.modules.power.redfish import RedfishDriver


def bmc(port: int, protocol: str = "redfish") -> Bmc:
    return Bmc("n1", protocol, "127.0.0.1", port, "admin", "hidden", tls="none", auth="basic")


@contextmanager
def answering(send: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that reads a request and lets ``send`` do the rest, until the client goes away."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(10)
                    try:
                        connection.recv(65536)
                        send(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_an_answer_without_an_end_is_given_up_early() -> None:
    sent = 0

    def send(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b" " * (1 << 20))
            sent += 1

    with answering(send) as port, pytest.raises(KedgeError) as caught:
        RedfishDriver(bmc(port)).read()
    assert caught.value.code in ("power.failed", "power.no_answer")
    assert sent <= 100


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BODY_S", 0.5)

    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"{")
            time.sleep(0.05)

    began = time.monotonic()
    with answering(send) as port, pytest.raises(KedgeError):
        RedfishDriver(bmc(port)).read()
    assert time.monotonic() - began < 4


def test_what_a_bmc_says_is_kept_in_part_only() -> None:
    assert len(failed(bmc(1), "switch on", "x" * 10_000).why) == SAID


def test_a_process_with_many_open_files_still_speaks_ipmi() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1400 if hard == resource.RLIM_INFINITY else min(hard, 1400)
    if wanted < 1100:
        pytest.skip("may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    opened: list[int] = []
    try:
        while not opened or opened[-1] < 1050:
            opened.append(os.open("/dev/null", os.O_RDONLY))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            driver = IpmiDriver(bmc(silent.getsockname()[1], "ipmi"), timeout_s=0.5)
            with pytest.raises(KedgeError) as caught:
                driver.read()
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.code == "power.no_answer"
