"""The lab's BMCs, for real: IPMI and Redfish switch machines, refuse strangers, hang and heal."""

from __future__ import annotations

import os
import textwrap
import time

import pytest
from small_lab import (
    GREETING,
    IPMI,
    RAW_REDFISH,
    REDFISH,
    SUSHY,
    ipmitool,
    python,
    this_boot,
    wait,
)

from kedge.lab.lab import Lab
from kedge.lib.errors import KedgeError

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]


def test_ipmi_switches_the_machine(healthy: Lab) -> None:
    assert "off" in ipmitool(healthy, "power", "status").stdout
    ipmitool(healthy, "chassis", "bootdev", "disk")
    ipmitool(healthy, "power", "on")
    assert "on" in ipmitool(healthy, "power", "status").stdout
    wait(lambda: GREETING.decode().strip() in this_boot(healthy, IPMI), "boot from the disk")
    ipmitool(healthy, "power", "soft")
    wait(lambda: healthy.power(IPMI) == "off", "the system's own shutdown", 5)
    assert "off" in ipmitool(healthy, "power", "status").stdout


def test_without_an_override_the_machine_boots_from_the_network(healthy: Lab) -> None:
    ipmitool(healthy, "power", "on")
    wait(lambda: "Configuring (net0 52:54:00:77:01:01)" in this_boot(healthy, IPMI), "iPXE")
    ipmitool(healthy, "power", "soft")  # iPXE knows no power button
    time.sleep(0.5)
    assert healthy.power(IPMI) == "on"
    ipmitool(healthy, "power", "off")
    assert healthy.power(IPMI) == "off"


def test_the_boot_device_holds_for_one_boot(healthy: Lab) -> None:
    ipmitool(healthy, "chassis", "bootdev", "disk")
    ipmitool(healthy, "power", "on")
    wait(lambda: GREETING.decode().strip() in this_boot(healthy, IPMI), "boot from the disk")
    ipmitool(healthy, "power", "reset")
    wait(lambda: "Configuring (net0" in this_boot(healthy, IPMI), "iPXE after the reset")


def test_pyghmi_agrees(healthy: Lab) -> None:
    answer = python(
        healthy,
        """
        import json, os
        from pyghmi.ipmi.command import Command
        bmc = Command("10.78.0.11", os.environ["BMC_USER"], os.environ["BMC_PASSWORD"])
        seen = [bmc.get_power()["powerstate"]]
        bmc.set_power("on", wait=10)
        seen.append(bmc.get_power()["powerstate"])
        bmc.set_power("off", wait=10)
        seen.append(bmc.get_power()["powerstate"])
        print(json.dumps(seen))
        """,
    )
    assert answer == ["off", "on", "off"]


def test_redfish_switches_the_machine(healthy: Lab) -> None:
    on = """
    system.set_system_boot_options(sushy.BOOT_SOURCE_TARGET_HDD,
                                   enabled=sushy.BOOT_SOURCE_ENABLED_ONCE)
    system.refresh()
    boot = system.boot.target.value
    system.reset_system(sushy.RESET_ON)
    system.refresh()
    names = [m.identity for m in root.get_manager_collection().get_members()]
    frames = [c.identity for c in root.get_chassis_collection().get_members()]
    macs = system.ethernet_interfaces.get_members()[0].mac_address
    print(json.dumps([boot, system.power_state.value, system.uuid, names, frames, macs]))
    """
    answer = python(healthy, SUSHY + textwrap.dedent(on))
    uuid = answer[2]  # type: ignore[index]
    assert answer == ["Hdd", "On", uuid, ["1"], ["1"], "52:54:00:77:01:02"]
    wait(lambda: GREETING.decode().strip() in this_boot(healthy, REDFISH), "boot from the disk")
    soft = "system.reset_system(sushy.RESET_GRACEFUL_SHUTDOWN); print(json.dumps(None))"
    python(healthy, SUSHY + soft)
    wait(lambda: healthy.power(REDFISH) == "off", "the system's own shutdown", 5)
    hard = """
    system.reset_system(sushy.RESET_ON)
    system.reset_system(sushy.RESET_FORCE_OFF)
    system.refresh()
    print(json.dumps([system.power_state.value, system.boot.target.value]))
    """
    assert python(healthy, SUSHY + textwrap.dedent(hard)) == ["Off", "None"]


def test_redfish_refuses_what_it_should(healthy: Lab) -> None:
    script = """
    wrong = {"Authorization": "Basic " + base64.b64encode(b"admin:wrong").decode()}
    reset = "/Systems/1/Actions/ComputerSystem.Reset"
    print(json.dumps([
        ask("/", headers={}), ask("/Systems", headers={}), ask("/Systems/1", headers=wrong),
        ask("/Systems/1", headers={"X-Auth-Token": "guess"}),
        ask("/Systems/1", headers={"Authorization": "Basic %%%"}),
        ask("/Systems/1"), ask("/Systems/2"),
        ask(reset, "POST", b'{"ResetType": "Explode"}'), ask(reset, "POST", b"["),
        ask(reset, "POST", b"[" * 60000), ask(reset, "POST", b"x" * 100000),
        ask("/Systems/1", "PATCH", b'{"Boot": {"BootSourceOverrideTarget": "Floppy"}}'),
        ask("/Systems/1", "PATCH", b'{"Boot": {"BootSourceOverrideTarget": ["Pxe"]}}'),
        ask("/Systems/1", "PATCH", b'{"HostName": "x"}'),
    ]))
    """
    expected = [200, 401, 401, 401, 401, 200, 404, 400, 400, 400, 413, 400, 400, 400]
    assert python(healthy, RAW_REDFISH + textwrap.dedent(script)) == expected
    assert healthy.power(REDFISH) == "off"


def test_a_killed_machine_is_seen_as_off_by_its_bmc(healthy: Lab) -> None:
    healthy.switch(IPMI, "on")
    healthy.switch(REDFISH, "on")
    healthy.kill(IPMI)
    healthy.kill(REDFISH)
    wait(lambda: healthy.power(IPMI) == healthy.power(REDFISH) == "off", "both are dead", 5)
    assert "off" in ipmitool(healthy, "power", "status").stdout
    assert python(healthy, SUSHY + "print(json.dumps(system.power_state.value))") == "Off"
    with pytest.raises(KedgeError, match="off"):
        healthy.kill(IPMI)
    ipmitool(healthy, "power", "on")
    assert healthy.power(IPMI) == "on"


def test_a_hung_bmc_answers_nothing_until_cleared(healthy: Lab) -> None:
    for name in (IPMI, REDFISH):
        healthy.fault(name, "bmc-hang")
    assert [m["bmc"]["state"] for m in healthy.status()["machines"]] == ["hung", "hung"]
    assert ipmitool(healthy, "power", "status", check=False).returncode != 0
    hung = """
    try:
        print(json.dumps(ask("/Systems/1", timeout=1)))
    except TimeoutError:
        print(json.dumps("silence"))
    """
    assert python(healthy, RAW_REDFISH + textwrap.dedent(hung)) == "silence"
    for name in (IPMI, REDFISH):
        healthy.fault(name, "clear")
    assert "off" in ipmitool(healthy, "power", "status").stdout
    assert python(healthy, RAW_REDFISH + 'print(json.dumps(ask("/Systems/1")))') == 200


def test_a_bmc_with_another_password_refuses_ours(healthy: Lab) -> None:
    for name in (IPMI, REDFISH):
        healthy.fault(name, "bmc-wrong-password")
    login = """
    import json, os
    from pyghmi.exceptions import IpmiException
    from pyghmi.ipmi.command import Command
    try:
        Command("10.78.0.11", os.environ["BMC_USER"], os.environ["BMC_PASSWORD"])
        print(json.dumps("taken"))
    except IpmiException as error:
        print(json.dumps(str(error)))
    """
    assert python(healthy, login) == "Incorrect password provided"
    assert python(healthy, RAW_REDFISH + 'print(json.dumps(ask("/Systems/1")))') == 401
    for name in (IPMI, REDFISH):
        healthy.fault(name, "clear")
    assert "off" in ipmitool(healthy, "power", "status").stdout
    assert python(healthy, RAW_REDFISH + 'print(json.dumps(ask("/Systems/1")))') == 200
