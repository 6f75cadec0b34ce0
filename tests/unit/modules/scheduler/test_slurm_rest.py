"""A slurmrestd that is not there, not ours or out of its mind; and a token that nobody must read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.scheduler import slurm_rest
from kedge.modules.scheduler.slurm_rest import Endpoint, Rest


@contextmanager
def serving(pieces: int, pause_s: float) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(pieces):
                    self.wfile.write(b" " * 1000)
                    time.sleep(pause_s)
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def refusal(url: str, token: str = "ey.a.b", ca: str = "") -> KedgeError:
    with pytest.raises(KedgeError) as caught:
        Rest(Endpoint(url, "root", lambda: token, ca), 40).read()
    return caught.value


def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_rest, "MOST_BYTES", 5000)
    with serving(pieces=1000, pause_s=0.01) as url:
        error = refusal(url)
    assert error.code == "scheduler.silent" and "more than" in error.why


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_rest, "ANSWER_S", 0.2)
    began = time.monotonic()
    with serving(pieces=100, pause_s=0.05) as url:
        error = refusal(url)
    assert error.code == "scheduler.silent" and "did not come" in error.why
    assert time.monotonic() - began < 4


def test_a_token_that_no_header_may_hold_is_refused_without_being_said() -> None:
    error = refusal("http://127.0.0.1:9", token="secret\nX-Other: 1")
    assert error.code == "scheduler.token" and "secret\n" not in str(error.as_dict())


def test_a_ca_that_is_not_there_and_a_url_that_is_none_are_named() -> None:
    assert refusal("https://127.0.0.1:9", ca="/nowhere/ca.pem").code == "scheduler.ca"
    assert refusal("http://127.0.0.1:port").code == "scheduler.url"
