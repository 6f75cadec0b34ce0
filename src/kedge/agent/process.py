"""Run a function in a forked process: an order that hangs or dies never takes the agent along.

The agent has no threads, so a fork is safe, costs about a millisecond and gives all memory back.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, cast

from kedge.agent.syscalls import enter_mount_namespace
from kedge.lib.errors import KedgeError

Tell = Callable[[dict[str, Any]], None]
"""Sends one message (a JSON object) from the forked process to the agent."""

_READ_BYTES = 65536
_BUFFER_MAX_BYTES = 1 << 20


class Process:
    """A function running in a forked process, and the messages it sends."""

    def __init__(self, work: Callable[[Tell], None]) -> None:
        """Start ``work``; it gets a function that sends a message to the agent."""
        sys.stdout.flush()
        reader, writer = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            _run(work, writer)
        os.close(writer)
        os.set_blocking(reader, False)
        self.descriptor = reader
        self._buffer = b""
        self._open = True

    def messages(self) -> list[dict[str, Any]]:
        """The messages that have come; call it when the descriptor is readable."""
        try:
            piece = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        self._open = bool(piece)
        self._buffer += piece
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > _BUFFER_MAX_BYTES:
            self.kill()
        return [cast("dict[str, Any]", json.loads(line)) for line in lines]

    @property
    def ended(self) -> bool:
        """Whether no more messages will come."""
        return not self._open

    def close(self) -> int:
        """Wait for the end and return the exit code (negative: the signal). What it started goes with
        it, where it is the first of a group."""
        os.close(self.descriptor)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End it and its group, whatever it is doing."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)


def in_host(work: Callable[[], None]) -> None:
    """Run ``work`` in a forked process that sees the mounts and the root of process 1.

    Waits for it; a `KedgeError` or `OSError` in there is raised here as `KedgeError`.
    """

    def enter(tell: Tell) -> None:
        enter_mount_namespace(1)
        os.chdir("/")
        work()

    process = Process(enter)
    os.set_blocking(process.descriptor, True)
    messages: list[dict[str, Any]] = []
    while not process.ended:
        messages += process.messages()
    code = process.close()
    for message in messages:
        if "error" in message:
            raise error_from(message["error"])
    if code != 0:
        raise KedgeError("agent.died", "a step on the node ended early", why=f"exit code {code}")


def error_from(fields: dict[str, str]) -> KedgeError:
    """A `KedgeError` out of its ``as_dict``."""
    return KedgeError(
        fields.get("code", "agent.unknown"),
        fields.get("what", ""),
        where=fields.get("where", ""),
        why=fields.get("why", ""),
        next_step=fields.get("next_step", ""),
    )


def _run(work: Callable[[Tell], None], writer: int) -> NoReturn:
    def tell(message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        while line:
            line = line[os.write(writer, line) :]

    code = 1
    expected = False
    try:
        work(tell)
        code = 0
    except KedgeError as problem:
        expected = True
        tell({"error": problem.as_dict()})
    except OSError as problem:
        why = f"{problem.strerror}: {problem.filename}" if problem.filename else str(problem)
        tell(
            {"error": KedgeError("agent.os", "the node's kernel refused a step", why=why).as_dict()}
        )
    finally:
        if code != 0 and not expected:
            _print_trace()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _print_trace() -> None:
    import traceback  # loads more than the agent needs to start

    traceback.print_exc()
