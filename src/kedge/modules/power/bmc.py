"""What a BMC is to Kedge: how to reach it, what it can be asked, and what may go wrong with it.

Every driver call blocks, talks to one BMC only, ends within `CALL_TIMEOUT_S` and either returns or
raises one of the errors below. Only absolute commands exist: there is no cycle and no toggle.

`tests/conformance/test_power_drivers.py` asks that of every driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from kedge.lib.errors import KedgeError, NotNow

PowerState = Literal["on", "off"]

CALL_TIMEOUT_S = 25.0
"""No driver call lasts longer; the lane that runs it is given up a little later."""

SAID = 300
"""So many characters of what a BMC says are kept."""


@dataclass(frozen=True, slots=True)
class Bmc:
    """One BMC and the leave to speak to it. ``system`` names one of several machines behind it."""

    node: str
    protocol: str
    address: str
    port: int
    username: str
    password: str = field(repr=False)
    credentials: str = ""
    system: str = ""
    tls: str = "verify"
    auth: str = "session"
    firmware: str = ""
    kg: str = field(default="", repr=False)

    @property
    def where(self) -> str:
        """Where an error is shown."""
        return self.node


class Driver(Protocol):
    """What a protocol must be able to do. Each call is safe to repeat."""

    def read(self) -> PowerState:
        """Whether the machine has power now."""
        ...

    def on(self) -> None:
        """Switch on."""
        ...

    def off(self) -> None:
        """Take the power away, whatever runs."""
        ...

    def shut_down(self) -> None:
        """Ask the operating system to end (the power button)."""
        ...

    def boot_from_network_once(self) -> None:
        """Make the next boot, and only that, a network boot."""
        ...


def no_answer(bmc: Bmc, why: str = "") -> NotNow:
    """The BMC is silent, unreachable, or stopped in the middle."""
    return NotNow(
        "power.no_answer",
        f"the BMC {bmc.address} does not answer",
        where=bmc.where,
        why=why[:SAID],
        next_step=f"Check its cable and address (ping {bmc.address}); reset the BMC if it hangs",
    )


def refused(bmc: Bmc, why: str = "") -> KedgeError:
    """The BMC does not accept the user or the password."""
    return KedgeError(
        "power.refused",
        f"the BMC {bmc.address} refused the credentials",
        where=bmc.where,
        why=why[:SAID],
        next_step=f"Correct them: kedge secret set {bmc.credentials or 'bmc'}; or the user in the BMC",
    )


def busy(bmc: Bmc, why: str = "") -> NotNow:
    """The BMC has no room for another session, or asks to come back later."""
    return NotNow(
        "power.busy",
        f"the BMC {bmc.address} is busy",
        where=bmc.where,
        why=why[:SAID],
        next_step="Kedge tries again; close other sessions to this BMC if it stays so",
    )


def untrusted(bmc: Bmc, why: str = "") -> KedgeError:
    """The BMC's TLS certificate is not one that the configuration trusts."""
    return KedgeError(
        "power.tls",
        f"the TLS certificate of the BMC {bmc.address} is not trusted",
        where=bmc.where,
        why=why[:SAID],
        next_step="Set tls in power.bmc to the file of its CA, or to insecure where that is accepted",
    )


def no_system(bmc: Bmc, why: str = "") -> KedgeError:
    """The machine named by ``system`` is not behind this BMC, or none was named and it has several."""
    return KedgeError(
        "power.no_system",
        f"the BMC {bmc.address} has no system {bmc.system!r}"
        if bmc.system
        else f"the BMC {bmc.address} does not have exactly one system",
        where=bmc.where,
        why=why[:SAID],
        next_step="Name one of its systems: power.bmc: {system: ...}",
    )


def unsupported(bmc: Bmc, what: str, why: str = "") -> KedgeError:
    """The BMC cannot do what was asked, and never will."""
    return KedgeError(
        "power.unsupported",
        f"the BMC {bmc.address} cannot {what}",
        where=bmc.where,
        why=why[:SAID],
        next_step="Do it at the machine, or update the BMC's firmware",
    )


def failed(bmc: Bmc, what: str, why: str = "") -> KedgeError:
    """The BMC answered with an error of its own."""
    return KedgeError(
        "power.failed",
        f"the BMC {bmc.address} failed to {what}",
        where=bmc.where,
        why=why[:SAID],
        next_step="Look into the BMC's own log; reset the BMC if it stays so",
    )
