"""From a node's configuration to a driver that speaks to its BMC, on that BMC's own lane."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.modules.port import Io, Node
from kedge.modules.power.bmc import CALL_TIMEOUT_S, Bmc, Driver, no_answer
from kedge.modules.power.ipmi import IpmiDriver
from kedge.modules.power.redfish import RedfishDriver

T = TypeVar("T")

PORTS = {"ipmi": 623, "redfish": 443}
LANE_GRACE_S = 3.0
DRIVERS_KEPT = 20_000

DRIVERS: dict[str, Callable[[Bmc], Driver]] = {"ipmi": IpmiDriver, "redfish": RedfishDriver}
"""Who speaks which protocol (the simulator has speakers of its own)."""

_drivers: OrderedDict[Bmc, Driver] = OrderedDict()


def bmc_of(node: Node, io: Io) -> Bmc:
    """The BMC that the node's configuration names, with its secret; raises `KedgeError`."""
    written = node.configured("power.bmc")
    if not isinstance(written, dict):
        raise KedgeError(
            "power.no_bmc",
            "no BMC is configured",
            where=node.name,
            next_step="Set power.bmc: {protocol: redfish or ipmi, address: ..., credentials: ...}",
        )
    protocol = str(written["protocol"])
    credentials = _text(written, "credentials")
    secret: Mapping[str, str] = io.secret(credentials) if credentials else {}
    tls = _text(written, "tls") or "verify"
    port = written.get("port")
    return Bmc(
        node=node.name,
        protocol=protocol,
        address=str(written["address"]),
        port=port if isinstance(port, int) else (80 if tls == "none" else PORTS[protocol]),
        username=secret.get("username", ""),
        password=secret.get("password", ""),
        kg=secret.get("kg", ""),
        credentials=credentials,
        system=_text(written, "system"),
        tls=tls,
        auth=_text(written, "auth") or "session",
        firmware=_text(written, "firmware"),
    )


def _text(written: dict[str, Value], key: str) -> str:
    value = written.get(key)
    return value if isinstance(value, str) else ""


def driver_of(bmc: Bmc) -> Driver:
    """The driver kept for that BMC (one that was configured otherwise is another BMC)."""
    driver = _drivers.get(bmc)
    if driver is None:
        driver = _drivers[bmc] = DRIVERS[bmc.protocol](bmc)
        if len(_drivers) > DRIVERS_KEPT:
            _drivers.popitem(last=False)
    _drivers.move_to_end(bmc)
    return driver


def forget_drivers() -> None:
    """Drop all drivers that are kept."""
    _drivers.clear()


async def ask(node: Node, io: Io, call: Callable[[Driver], T]) -> T:
    """``call`` with the node's driver, where nothing else waits for it; raises `KedgeError`."""
    bmc = bmc_of(node, io)
    try:
        return await io.blocking(
            bmc.address, call, driver_of(bmc), timeout_s=CALL_TIMEOUT_S + LANE_GRACE_S
        )
    except TimeoutError:
        raise no_answer(bmc, "it holds a connection open without answering") from None
