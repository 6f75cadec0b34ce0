"""One IPMI session on one socket of its own, in the thread that made it, with an end.

pyghmi's usual session shares sockets, tables and an event loop between all threads of a process: a
BMC that falls silent while it logs in holds up its neighbours, and two threads may process one
another's packets. Its *simple* session has none of that, but neither repeats a lost packet nor ever
gives up; the two methods that wait are replaced here. (`tests/integration/test_power.py` shows the
independence with BMCs that hang at every stage of the login.)
"""

from __future__ import annotations

import math
import select
import socket
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from pyghmi.exceptions import IpmiException  # pyright: ignore[reportMissingTypeStubs]
from pyghmi.ipmi.private import simplesession  # pyright: ignore[reportMissingTypeStubs]

# pyright: reportUnknownMemberType=false, reportIncompatibleMethodOverride=false
# pyright: reportUnknownVariableType=false

OPERATOR = 3
ADMINISTRATOR = 4


class DeadlineReached(Exception):
    """The BMC said nothing for long enough that nobody should wait any longer."""


class Declined(IpmiException):
    """The BMC answered a command with a completion ``code`` other than 0."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class _Poll:
    """Stands for the module ``select`` in pyghmi's sessions: ``select`` itself refuses a process's file
    number 1024 and all above it, which a head with many nodes that load their images has."""

    @staticmethod
    def select(
        readers: Sequence[socket.socket], _writers: Any, _wrong: Any, timeout_s: float | None
    ) -> tuple[list[socket.socket], list[Any], list[Any]]:
        """Those of ``readers`` that have something, after ``timeout_s`` at most."""
        poll = select.poll()
        numbers = {one.fileno(): one for one in readers}
        for number in numbers:
            poll.register(number, select.POLLIN)
        timeout_ms = None if timeout_s is None else math.ceil(timeout_s * 1000)
        return [numbers[number] for number, _ in poll.poll(timeout_ms)], [], []


simplesession.select = _Poll


class Session(simplesession.Session):
    """A logged-in IPMI 2.0 session; the constructor blocks until it is, or raises.

    Raises `DeadlineReached`, or pyghmi's ``IpmiException`` with the BMC's reason.
    """

    logging: bool
    logged: int
    lastresponse: Any
    timeout: float
    socket: socket.socket
    keepalive_sessions: ClassVar[dict[Any, Any]]

    def __init__(
        self, address: str, port: int, username: str, password: str, kg: str, deadline: float
    ) -> None:
        self.deadline = deadline
        self.resend_at = deadline
        try:
            super().__init__(
                bmc=address,
                userid=username,
                password=password,
                port=port,
                kg=kg or None,
                keepalive=False,
            )
        except BaseException:
            self._close_socket()
            raise

    def wait_for_rsp(self, timeout: float | None = None, callout: bool = True) -> None:
        """Wait for one packet or the next repetition (pyghmi calls this while it logs in)."""
        now = time.monotonic()
        if now >= self.deadline:
            raise DeadlineReached
        wait_s = max(0.0, min(self.resend_at, self.deadline) - now)
        readable, _, _ = _Poll.select([self.socket], [], [], wait_s)
        if readable:
            self.process_pktqueue()
        elif time.monotonic() >= self.resend_at:
            self._timedout()

    def awaitresponse(self, retry: bool) -> None:
        """Wait for the answer to the command just sent."""
        while retry and self.lastresponse is None and self.logged:
            self.wait_for_rsp()

    def _xmit_packet(self, *args: Any, **kwargs: Any) -> None:
        super()._xmit_packet(*args, **kwargs)
        self.resend_at = time.monotonic() + self.timeout

    def command(self, netfn: int, command: int, *request: int) -> bytes:
        """The answer to one command; raises `Declined`."""
        reply: Any = self.raw_command(netfn=netfn, command=command, data=request)
        if "error" in reply:
            code = int(reply.get("code", 0))
            raise Declined(str(reply["error"]), code) if 0 < code < 256 else DeadlineReached
        received: Sequence[int] = reply["data"]
        return bytes(received)

    def close(self) -> None:
        """Log out without waiting for an answer."""
        try:
            self.logout(False)
        except (IpmiException, OSError, DeadlineReached):
            pass
        finally:
            self.keepalive_sessions.pop(self, None)
            self._close_socket()

    def _close_socket(self) -> None:
        opened: socket.socket | None = getattr(self, "socket", None)
        if opened is not None:
            opened.close()
