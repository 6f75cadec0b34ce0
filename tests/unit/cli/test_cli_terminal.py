"""On a real terminal: questions before what is disruptive, tables that move, and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import signal
import sys
import time
from typing import Any

import pytest

from kedge.cli import output


def on_terminal(
    *words: str, answer: str = "", when: str = "", interrupt: bool = False, columns: int = 150
) -> tuple[int, str]:
    """Run a command on a terminal; once ``when`` is seen, type ``answer`` or Ctrl-C."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", COLUMNS=str(columns))
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
        os.execv(sys.executable, [sys.executable, "-m", "kedge.cli.main", *words])
    out, done, deadline = b"", False, time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    chunk = os.read(terminal, 65536)
                except OSError:  # the other end closed
                    break
                if not chunk:
                    break
                out += chunk
            if when and when.encode() in out and not done:
                done = True
                os.write(terminal, b"\x03" if interrupt else answer.encode())
        else:
            os.kill(pid, signal.SIGKILL)
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    return os.waitstatus_to_exitcode(status), out.decode()


@pytest.mark.parametrize("words", [("power", "off", "n1"), ("power", "cycle", "n[1-4]")])
def test_no_means_no(served: Any, words: tuple[str, ...]) -> None:
    code, out = on_terminal(*words, when="[y/N]", answer="n\n")
    assert code == 1 and "what runs there ends" in out and "Nothing was done" in out
    assert "out of service" in out and "the last is there after about 10s" in out
    assert served.operations.asked == []


def test_control_c_at_a_question_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also inside an event loop, which only notes the first one and goes on."""

    def ask(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the question goes on")

    async def work() -> None:
        output.confirmed("This changes something.", yes=False)

    monkeypatch.setattr(output, "asking", lambda *, yes: True)
    monkeypatch.setattr(output.click, "confirm", ask)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(work())


def test_a_narrow_terminal_has_what_is_long_on_lines_of_its_own(served: Any) -> None:
    served.operations.converge_after_s = 60
    on_terminal("power", "on", "n1")
    _, wide = on_terminal("status")
    _, narrow = on_terminal("status", columns=60)
    assert "since" in wide and "since" not in narrow
    (line,) = [line for line in narrow.splitlines() if "moving" in line and "n1" in line]
    assert "on" in line


def test_yes_means_yes(served: Any) -> None:
    code, _ = on_terminal("power", "off", "n1", when="[y/N]", answer="y\n")
    assert code == 0 and served.operations.asked[0][:3] == ("power", "n1", "off")


def test_with_yes_nobody_is_asked(served: Any) -> None:
    code, out = on_terminal("power", "off", "n1", "--yes")
    assert code == 0 and "[y/N]" not in out


def test_values_are_shown_before_they_are_set(served: Any) -> None:
    code, out = on_terminal("node", "set", "n1", "power.state=on", when="[y/N]", answer="n\n")
    assert code == 1 and "off -> on" in out and served.operations.asked == []


def test_waiting_shows_a_table_that_moves(served: Any) -> None:
    served.operations.converge_after_s = 1.5
    code, out = on_terminal("power", "on", "n[1-4]", "--wait")
    assert code == 0 and "4 moving" in out and "50%" in out and "n[1-4]: converged" in out


def test_a_watch_moves_and_ends_with_control_c(served: Any) -> None:
    code, out = on_terminal("status", "--watch", when="4 converged", interrupt=True)
    assert code == 0 and "No nodes yet" not in out and "Traceback" not in out


def test_following_the_log_ends_with_control_c(served: Any) -> None:
    code, out = on_terminal("events", "-f", when="master start", interrupt=True)
    assert code == 0 and "Traceback" not in out


def test_an_interrupted_wait_is_130(served: Any) -> None:
    served.operations.converge_after_s = 60
    code, out = on_terminal("power", "on", "n1", "--wait", when="1 moving", interrupt=True)
    assert code == 130 and "Nothing was done" not in out and "Traceback" not in out
