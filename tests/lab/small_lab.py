"""A lab of two small machines, one with each kind of BMC, and how tests ask and watch them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

from kedge.lab.description import Bmc, Description, Machine
from kedge.lab.lab import Lab

IPMI, REDFISH = "i1", "r1"
GREETING = b"tiny system is up\r\n"
# A boot sector that enables the ACPI power button, greets on the serial port, sleeps, and switches
# itself off (S5) when the button is pressed: the smallest system that obeys a soft power-off.
# xor ax,ax; mov ds,ax; mov dx,602h; mov ax,100h; out dx,ax; mov si,msg; mov dx,3f8h;
# l: lodsb; test al,al; jz w; out dx,al; jmp l; w: sti; hlt; mov dx,600h; in ax,dx; test ah,1;
# jz w; mov dx,604h; mov ax,2000h; out dx,ax; h: hlt; jmp h; msg:
CODE = bytes.fromhex(
    "31c0 8ed8 ba0206 b80001 ef be2e7c baf803 ac 84c0 7403 ee ebf8"
    "fb f4 ba0006 ed f6c401 74f5 ba0406 b80020 ef f4 ebfd"
)


def describe(name: str, **changes: object) -> Description:
    def machine(index: int, name: str, protocol: str) -> Machine:
        return Machine(
            name=name,
            mac=f"52:54:00:77:01:{index:02x}",
            memory_mb=96,
            disks_gb=(1,),
            bmc=Bmc(protocol=protocol, address=f"10.78.0.{10 + index}"),
        )

    machines = (machine(1, IPMI, "ipmi"), machine(2, REDFISH, "redfish"))
    return Description(**{"name": name, "machines": machines, **changes})  # type: ignore[arg-type]


def write_tiny_system(lab: Lab, name: str) -> None:
    disk = lab.disk_path(name)
    disk.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sector = (CODE + GREETING + b"\0").ljust(510, b"\0") + b"\x55\xaa"
    with disk.open("wb") as file:
        file.write(sector)
        file.truncate(1 << 30)


def wait(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for: {what}"
        time.sleep(0.1)


def this_boot(lab: Lab, name: str) -> str:
    """The console since the last power-on."""
    return lab.console_text(name).rpartition(": power on,")[2]


def ipmitool(lab: Lab, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    login = lab.login("bmc")
    address = lab.description.machine(IPMI).bmc.address  # type: ignore[union-attr]
    command = ["ipmitool", "-I", "lanplus", "-C", "3", "-N", "1", "-R", "1", "-H", address]
    command += ["-U", login.username, "-E", *words]
    environment = {**os.environ, "IPMI_PASSWORD": login.password}
    return lab.exec(command, env=environment, check=check)


def python(lab: Lab, script: str, **values: str) -> object:
    """Run a script inside the namespace; it prints one JSON value. Passwords go by environment."""
    login = lab.login("bmc")
    environment = {**os.environ, "BMC_USER": login.username, "BMC_PASSWORD": login.password}
    environment |= {"CA": str(lab.paths.authority), **values}
    done = lab.exec([sys.executable, "-c", textwrap.dedent(script)], env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


SUSHY = """
import json, os, sushy
auth = sushy.auth.SessionOrBasicAuth(os.environ["BMC_USER"], os.environ["BMC_PASSWORD"])
root = sushy.Sushy("https://10.78.0.12", auth=auth, verify=os.environ["CA"])
system = root.get_system(root.get_system_collection().members_identities[0])
"""


RAW_REDFISH = """
import base64, json, os, ssl, urllib.request, urllib.error
context = ssl.create_default_context(cafile=os.environ["CA"])
login = f"{os.environ['BMC_USER']}:{os.environ['BMC_PASSWORD']}"
basic = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
def ask(path, method="GET", body=None, headers=basic, timeout=3):
    url = "https://10.78.0.12/redfish/v1" + path
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    try:
        return urllib.request.urlopen(request, context=context, timeout=timeout).status
    except urllib.error.HTTPError as error:
        return error.code
"""
