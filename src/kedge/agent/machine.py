"""What the agent asks of the machine it runs on: time, chance, a socket, orders carried out, the init.

The simulator brings a machine of its own, and so runs the very agent in virtual time.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from kedge.agent import living_on
from kedge.agent.duties import facts, host_files, image_activate, init_state, power
from kedge.agent.orders import Duty
from kedge.agent.place import Place
from kedge.agent.process import Process, Tell
from kedge.agent.travelling import Declared, Worker
from kedge.lib.host_files import HostFile


class Machine:
    """This machine."""

    duties: Mapping[str, Duty] = {
        image_activate.NAME: image_activate.carry_out,
        power.NAME: power.carry_out,
    }

    def now(self) -> float:
        """Seconds on a clock that only grows."""
        return time.monotonic()

    def random_bytes(self, count: int) -> bytes:
        """Unpredictable bytes, for keys and jitter."""
        return os.urandom(count)

    def open_socket(self, parents: tuple[tuple[str, int], ...]) -> socket.socket:
        """A UDP socket that reaches the parents and never blocks."""
        family = socket.AF_INET6 if ":" in parents[0][0] else socket.AF_INET
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        opened = socket.socket(family, kind)
        opened.bind(("", 0))
        return opened

    def start(self, work: Callable[[Tell], None]) -> Process:
        """Begin an order's work beside the agent."""
        return Process(work)

    @property
    def worker(self) -> Worker:
        """What runs the duties that travel here."""
        return Worker(_observe, _carry_out)

    def facts(self) -> dict[str, Any]:
        """What the machine is made of."""
        return facts.read_facts()

    def init_state(self, place: Place, *, systemd: bool) -> init_state.InitState:
        """How far the image's init has come."""
        read = init_state.read_systemd if systemd else init_state.read_other
        return read(place.process_1)

    def open_wake(self, place: Place) -> int | None:
        """A descriptor that becomes readable when the init is up; None where nobody says so."""
        return living_on.open_wake(place.run)

    def join_unit(self, place: Place) -> str:
        """Share the fate of the agent's unit; what went wrong, in words."""
        return living_on.join_unit(place.process_1)

    def apply_files(self, place: Place, files: tuple[HostFile, ...]) -> str:
        """Make the image's root hold exactly these files; returns their digest. Raises `KedgeError`."""
        return host_files.apply(place, files)

    def shut_down(self, place: Place, action: str) -> None:
        """Go down: ``off`` or ``reboot``."""
        power.shut_down(place, action)


def _observe(place: Place, declared: Declared, tell: Tell) -> None:
    from kedge.agent.duty_work import observe  # here: in the duty's own process

    observe(place, declared, tell)


def _carry_out(
    place: Place, declared: Declared, mutation: str, args: dict[str, Any], tell: Tell
) -> dict[str, Any]:
    from kedge.agent.duty_work import carry_out

    return carry_out(place, declared, mutation, args, tell)
