"""A tiny head for the tests of layer0: blobs over HTTP and one parent of the state sync, on loopback.

It has nothing of the master in it, so that these tests show what layer0 and the agent do by themselves.
"""

from __future__ import annotations

import http.server
import json
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kedge.sync.events import ParentEvent
from kedge.sync.parent import Parent, ParentOptions
from kedge.sync.wire import Epoch

NODE = "n1"


class Blobs:
    """Serves ``/blobs/sha256:<hex>`` out of a directory, with ranges and faults on demand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.requests: list[tuple[str, str]] = []  # path, range
        self.break_after: dict[str, int] = {}  # digest: hang up once after this many bytes
        self.corrupt: set[str] = set()  # digests whose first byte is changed
        blobs = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                blobs.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        digest = request.path.removeprefix("/blobs/")
        wanted = request.headers.get("Range", "")
        self.requests.append((digest, wanted))
        path = self.directory / digest.removeprefix("sha256:")
        if not path.is_file():
            request.send_error(404)
            return
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        content = path.read_bytes()
        if digest in self.corrupt:
            content = bytes([content[0] ^ 1]) + content[1:]
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(content) - begin))
        if wanted:
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        end = self.break_after.pop(digest, len(content))
        try:
            request.wfile.write(content[begin:end])
        except OSError:
            return
        if end < len(content):
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)


class Head:
    """One parent that admits the node ``n1`` and keeps what it reports."""

    def __init__(self, heartbeat_s: float = 1.0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]
        self.parent = Parent(
            incarnation=Epoch(1, 1),
            random_bytes=os.urandom,
            chance=random.Random(1),
            options=ParentOptions(heartbeat_s=heartbeat_s),
        )
        self.token = os.urandom(32)
        self.parent.admit(NODE, Epoch(1, 1), self.token, time.monotonic() + 3600)
        self.events: list[ParentEvent] = []
        self.history: list[tuple[str, Any]] = []  # every discovered value, in order

    def close(self) -> None:
        self.socket.close()

    def configure(self, entries: Mapping[str, Any]) -> None:
        """Set the configured record; values are turned into JSON."""
        self.parent.set_configured(NODE, {n: json.dumps(v).encode() for n, v in entries.items()})

    def discovered(self, name: str) -> Any:
        """What the node reports now under a name, or None."""
        return json.loads(self.parent.discovered(NODE).get(name, b"null"))

    def wait(self, until: Callable[[], bool], timeout_s: float) -> None:
        """Serve the node until something holds; fails the test otherwise."""
        deadline = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {self.summary()}"
            self._turn()

    def serve(self, duration_s: float) -> None:
        """Serve the node for a while."""
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            self._turn()

    def summary(self) -> str:
        return f"events {self.events[-3:]}, reported {self.parent.discovered(NODE)}"

    def _turn(self) -> None:
        select.select([self.socket], [], [], 0.1)
        while True:
            try:
                datagram, address = self.socket.recvfrom(65536)
            except (BlockingIOError, ConnectionRefusedError):
                break
            self.parent.receive_datagram(datagram, address, time.monotonic())
        while (event := self.parent.next_event()) is not None:
            self.events.append(event)
            for name, value in getattr(event, "changes", {}).items():
                self.history.append((name, json.loads(value) if value else None))
        for datagram, address in self.parent.datagrams_to_send(time.monotonic()):
            self.socket.sendto(datagram, address)
