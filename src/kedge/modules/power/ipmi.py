"""IPMI over LAN: read and switch a machine's power with pyghmi, one session per call.

Command numbers and bytes are those of the IPMI 2.0 specification, chapter 28 (chassis).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import TypeVar

from pyghmi.exceptions import IpmiException  # pyright: ignore[reportMissingTypeStubs]

from kedge.lib.errors import KedgeError
from kedge.modules.power.bmc import (
    CALL_TIMEOUT_S,
    Bmc,
    PowerState,
    busy,
    failed,
    no_answer,
    refused,
    unsupported,
)
from kedge.modules.power.ipmi_session import DeadlineReached, Declined, Session

T = TypeVar("T")

CHASSIS = 0
CHASSIS_STATUS, CHASSIS_CONTROL, SET_BOOT_OPTIONS = 1, 2, 8
POWER_DOWN, POWER_UP, SOFT_SHUTDOWN = 0, 1, 5
VALID_BIT_CLEARING, BOOT_FLAGS = 3, 5
KEEP_WITHOUT_COMMAND = 0x08
FLAGS_VALID, FLAGS_EFI = 0x80, 0x20
BOOT_PXE = 0x04

NODE_BUSY, OUT_OF_SPACE, TIMED_OUT = 0xC0, 0xC4, 0xC3
NOT_IN_THIS_STATE, NO_PRIVILEGE = 0xD5, 0xD4
INVALID_COMMAND, NOT_SUPPORTED, NOT_SETTABLE = 0xC1, 0x80, 0xCC


class IpmiDriver:
    """A `Driver` that speaks RMCP+ (cipher suite 17 where the BMC has it, else 3)."""

    def __init__(self, bmc: Bmc, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._bmc = bmc
        self._timeout_s = timeout_s

    def read(self) -> PowerState:
        """Bit 0 of the chassis status."""

        def ask(session: Session) -> PowerState:
            status = session.command(CHASSIS, CHASSIS_STATUS)
            if not status:
                raise failed(self._bmc, "read its power state", "its answer was empty")
            return "on" if status[0] & 1 else "off"

        return self._in_session("read its power state", ask)

    def on(self) -> None:
        """Chassis control: power up."""
        self._control("switch on", POWER_UP)

    def off(self) -> None:
        """Chassis control: power down."""
        self._control("switch off", POWER_DOWN)

    def shut_down(self) -> None:
        """Chassis control: soft shutdown (ACPI)."""
        self._control("shut down", SOFT_SHUTDOWN)

    def boot_from_network_once(self) -> None:
        """Boot flags for the next boot only: PXE, in the firmware's kind where it is known."""
        flags = FLAGS_VALID | (FLAGS_EFI if self._bmc.firmware == "uefi" else 0)

        def ask(session: Session) -> None:
            with contextlib.suppress(Declined):  # optional: without it the flags last for 60 s only
                session.command(CHASSIS, SET_BOOT_OPTIONS, VALID_BIT_CLEARING, KEEP_WITHOUT_COMMAND)
            session.command(CHASSIS, SET_BOOT_OPTIONS, BOOT_FLAGS, flags, BOOT_PXE, 0, 0, 0)

        self._in_session("set the next boot device", ask)

    def _control(self, what: str, request: int) -> None:
        def ask(session: Session) -> None:
            try:
                session.command(CHASSIS, CHASSIS_CONTROL, request)
            except Declined as error:
                wanted = 1 if request == POWER_UP else 0
                status = session.command(CHASSIS, CHASSIS_STATUS)
                if error.code != NOT_IN_THIS_STATE or status[0] & 1 != wanted:
                    raise

        self._in_session(what, ask)

    def _in_session(self, what: str, ask: Callable[[Session], T]) -> T:
        bmc = self._bmc
        deadline = time.monotonic() + self._timeout_s
        try:
            session = Session(bmc.address, bmc.port, bmc.username, bmc.password, bmc.kg, deadline)
            try:
                return ask(session)
            finally:
                session.close()
        except DeadlineReached:
            raise no_answer(bmc) from None
        except socket.gaierror as error:
            raise no_answer(bmc, f"its name has no address: {error.strerror}") from error
        except OSError as error:
            raise no_answer(bmc, error.strerror or str(error)) from error
        except IpmiException as error:
            raise _explain(bmc, what, error) from error
        except (LookupError, ValueError, TypeError, struct.error) as error:
            raise failed(bmc, what, "it sent packets that make no sense") from error


def _explain(bmc: Bmc, what: str, error: IpmiException) -> KedgeError:
    """The operator's words for a reason of the BMC; pyghmi names reasons of the login by text only."""
    said = str(error.args[0]) if error.args and error.args[0] else ""
    code = error.code if isinstance(error, Declined) else 0
    if said in ("", "None", "timeout", "Session no longer connected"):
        return no_answer(bmc)
    if "address" in said and "Unable to transmit" in said:
        return no_answer(bmc, "its name has no address")
    login_refusals = ("Incorrect password", "Unauthorized", "Invalid role", "Username too long")
    if any(refusal in said for refusal in login_refusals) or code == NO_PRIVILEGE:
        return refused(bmc, said)
    if "integrity" in said and "RAKP4" in said:
        return refused(bmc, said)
    if "Insufficient resources" in said or code in (NODE_BUSY, OUT_OF_SPACE, TIMED_OUT):
        return busy(bmc, said)
    if code in (INVALID_COMMAND, NOT_SUPPORTED, NOT_SETTABLE, NOT_IN_THIS_STATE):
        return unsupported(bmc, what, said)
    return failed(bmc, what, said)
