"""Thousands of production children in one process, on real sockets: the load to measure with."""

from __future__ import annotations

import heapq
import json
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sync_head import token

from kedge.sync.child import Child
from kedge.sync.events import ParentLost, SessionUp
from kedge.sync.wire import Epoch

HELLO = 1
A_TURN = 64  # children whose timers are seen to before the sockets have their turn again


class Datagram(NamedTuple):
    """What a child wants to send."""

    child: int
    datagram: bytes


class Crowd:
    """Children n0, n1, ... of one parent, each with its own socket, as nodes have."""

    def __init__(self, count: int, port: int, prefix: str = "n") -> None:
        rng = random.Random(7)
        self.parent = ("127.0.0.1", port)
        self.children = [
            Child(
                f"{prefix}{number}", Epoch(1, number + 1), [self.parent],
                random_bytes=rng.randbytes, chance=rng, token=token(f"{prefix}{number}"),
            )
            for number in range(count)
        ]  # fmt: skip
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, count + 1000),) * 2)
        self.sockets = [_open() for _ in range(count)]
        self._poll = select.epoll()
        self._by_descriptor = {each.fileno(): number for number, each in enumerate(self.sockets)}
        for each in self.sockets:
            self._poll.register(each, select.EPOLLIN)
        self._timers: list[tuple[float, int]] = [(0.0, number) for number in range(count)]
        self._due = [0.0] * count
        self.up: set[int] = set()
        self.lost = self.sent = self.hellos = 0
        self.told: Callable[[int, Any], None] = lambda _child, _event: None

    def wanted(self, number: int, now: float) -> list[Datagram]:
        """What a child wants to send now; its events are taken."""
        child = self.children[number]
        while (event := child.next_event()) is not None:
            if isinstance(event, SessionUp):
                self.up.add(number)
            elif isinstance(event, ParentLost):
                self.lost += 1
            self.told(number, event)
        out: list[Datagram] = []
        for datagram, _ in child.datagrams_to_send(now):
            if datagram[2] == HELLO:
                self.hellos += 1
            out.append(Datagram(number, datagram))
        at = child.next_timeout()
        if at is not None and at != self._due[number]:
            self._due[number] = at
            heapq.heappush(self._timers, (at, number))
        return out

    def send(self, batch: list[Datagram]) -> None:
        """Put datagrams on the wire."""
        sockets, parent = self.sockets, self.parent
        for number, datagram in batch:
            sockets[number].sendto(datagram, parent)
        self.sent += len(batch)

    def receive(self, wait_s: float) -> set[int]:
        """Give the children what has arrived; says which of them got something."""
        woken: set[int] = set()
        for descriptor, _ in self._poll.poll(wait_s, 64):
            number = self._by_descriptor[descriptor]
            sock = self.sockets[number]
            for _ in range(1000):
                try:
                    datagram, address = sock.recvfrom(2048)
                except BlockingIOError:
                    break
                self.children[number].receive_datagram(datagram, address, time.monotonic())
                woken.add(number)
        return woken

    def run(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Let the children live; True when it came to ``until`` in time."""
        end = time.monotonic() + timeout_s
        while not until():
            now = time.monotonic()
            if now >= end:
                return False
            due: set[int] = set()
            while self._timers and self._timers[0][0] <= now and len(due) < A_TURN:
                at, number = heapq.heappop(self._timers)
                if at == self._due[number]:
                    due.add(number)
            for number in due:
                self._due[number] = -1.0
                self.send(self.wanted(number, now))
            wait_s = min(0.05, max(0.0, self._timers[0][0] - now)) if self._timers else 0.05
            for number in self.receive(wait_s):
                self.send(self.wanted(number, time.monotonic()))
        return True

    def wake(self, number: int) -> None:
        """The child has something new to say."""
        self.send(self.wanted(number, time.monotonic()))

    def drain(self) -> tuple[int, int]:
        """Throw away what has arrived; says how many datagrams and bytes."""
        count = size = 0
        for sock in self.sockets:
            while True:
                try:
                    size += len(sock.recv(2048))
                    count += 1
                except BlockingIOError:
                    break
        return count, size

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self._poll.close()


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.setblocking(False)
    return opened


class Peer:
    """A receiving process that can be stopped while its socket's buffer fills."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def cpu_ns(self) -> int:
        """Processor time of its threads so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def drops(self) -> int:
        """Datagrams that its socket had no room for."""
        return int(self._socket()[-1])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(0.005)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def until_idle(self) -> int:
        """Wait until nothing waits for it and it rests; returns its processor time so far."""
        last = -1
        for _ in range(2000):
            time.sleep(0.03)
            now = self.cpu_ns()
            if self._socket()[4].endswith(":00000000") and now - last < 500_000:
                return now
            last = now
        raise SystemExit("the receiver does not come to rest")

    def _socket(self) -> list[str]:
        """Its socket's row in /proc/net/udp; see proc(5)."""
        for row in Path("/proc/net/udp").read_text().splitlines()[1:]:
            fields = row.split()
            if int(fields[1].split(":")[1], 16) == self.port:
                return fields
        raise SystemExit("the receiver has no socket any more")

    def end(self) -> None:
        self.go_on()
        if self.process.stdin is not None:
            self.process.stdin.close()
        else:
            self.process.kill()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class HeadPeer(Peer):
    """`sync_head` as a process."""

    def __init__(self, state_dir: Path, heartbeat_s: float) -> None:
        command = [sys.executable, str(Path(__file__).with_name("sync_head.py")), str(state_dir)]
        process = subprocess.Popen(
            [*command, str(heartbeat_s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.process = process
        super().__init__(process, self._answer()["port"])

    def ask(self, *words: object) -> dict[str, Any]:
        """Give it a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the parent has died")
        return json.loads(line)
