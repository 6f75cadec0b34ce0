"""From a node's configuration to its BMC."""

from __future__ import annotations

import pytest

from fakes import FakeIo, one_network_site
from kedge.core.kinds import ValueProblem
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules import power
from kedge.modules.power.bmc import Bmc
from kedge.modules.power.ipmi import IpmiDriver
from kedge.modules.power.reach import bmc_of, driver_of
from kedge.modules.power.redfish import RedfishDriver

SECRETS = {"bmc": {"username": "admin", "password": "hidden"}}


def bmc(**written: object) -> Bmc:
    checked = power.bmc.kind.check({"address": "10.78.0.1", **written})
    site = one_network_site({"n1": Configuration("n1", {"power.bmc": checked})})
    io = FakeIo(site, secrets=SECRETS)
    return bmc_of(io.fake_nodes["n1"], io)


def test_ports_and_drivers_follow_the_protocol() -> None:
    ipmi, redfish = bmc(protocol="ipmi"), bmc(protocol="redfish", credentials="bmc")
    assert (ipmi.port, redfish.port, bmc(protocol="redfish", tls="none").port) == (623, 443, 80)
    assert isinstance(driver_of(ipmi), IpmiDriver)
    assert isinstance(driver_of(redfish), RedfishDriver)
    assert driver_of(redfish) is driver_of(bmc(protocol="redfish", credentials="bmc"))


def test_passwords_show_nowhere() -> None:
    found = bmc(protocol="redfish", credentials="bmc")
    assert found.password == "hidden" and "hidden" not in repr(found)


def test_a_node_without_a_bmc_says_what_to_write() -> None:
    io = FakeIo(one_network_site({"n1": Configuration("n1")}))
    with pytest.raises(KedgeError) as caught:
        bmc_of(io.fake_nodes["n1"], io)
    assert caught.value.code == "power.no_bmc" and "protocol" in caught.value.next_step


@pytest.mark.parametrize(
    "written",
    [
        {"protocol": "telnet"},
        {"protocol": "ipmi", "port": 0},
        {"protocol": "ipmi", "address": "-oProxyCommand=x"},
        {"protocol": "redfish", "tls": "maybe"},
        {"protocol": "redfish", "system": "../../x?y"},
        {"protocol": "redfish", "credentials": "../secrets"},
        {"protocol": "redfish", "password": "in-the-clear"},
        {},
    ],
)
def test_what_makes_no_sense_is_refused(written: dict[str, object]) -> None:
    with pytest.raises(ValueProblem):
        power.bmc.kind.check({"address": "10.78.0.1", **written})
