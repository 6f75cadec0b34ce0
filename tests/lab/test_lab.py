"""The lab itself, for real: machines, BMCs, faults, the registry, and nothing left after down."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kedge.lab import namespace, processes
from kedge.lab.description import Bmc, Description, Machine, Registry
from kedge.lab.lab import Lab
from kedge.lib.errors import KedgeError

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

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


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab(describe(f"t{os.getpid()}"))
    try:
        lab.up()
        for name in (IPMI, REDFISH):
            write_tiny_system(lab, name)
        yield lab
    finally:
        lab.down()


@pytest.fixture
def healthy(lab: Lab) -> Iterator[Lab]:
    """The lab with every machine off and no fault, before and after."""
    for name in (IPMI, REDFISH):
        lab.fault(name, "clear")
        lab.switch(name, "off")
    yield lab
    for name in (IPMI, REDFISH):
        lab.fault(name, "clear")
        lab.switch(name, "off")


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


def test_up_again_changes_nothing(healthy: Lab) -> None:
    before = healthy.status()
    healthy.up()
    assert healthy.status() == before
    assert before["up"]
    assert [machine["power"] for machine in before["machines"]] == ["off", "off"]
    assert [machine["bmc"]["state"] for machine in before["machines"]] == ["up", "up"]


def test_up_refuses_another_description_of_the_same_name(healthy: Lab) -> None:
    other = Lab(describe(healthy.name, registry=Registry(enabled=False)))
    with pytest.raises(KedgeError, match="another description"):
        other.up()


def test_secrets_are_private(healthy: Lab) -> None:
    for path in (healthy.paths.secrets, healthy.paths.bmc(IPMI) / "lan.conf"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert healthy.paths.run.stat().st_mode & 0o777 == 0o700
    passwords = [healthy.login(name).password.encode() for name in ("bmc", "registry")]
    for process in processes.find(healthy.name).values():
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert not any(password in arguments for password in passwords)


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


# Stands in for a machine: opens its tap, sends frames both ways between tap and bridge, and counts.
FRAMES = """
import fcntl, json, os, select, socket, struct, sys, time
tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap-r1", 0x1002))
bridge = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
bridge.bind(("prov", 0x88B5))
bridge.setblocking(False)
time.sleep(0.2)
frame = b"\\xff" * 6 + bytes.fromhex("525400770102") + b"\\x88\\xb5" + b"x" * 1386
count, pause = int(os.environ["COUNT"]), float(os.environ["PAUSE"])
seen = {"from_machine": 0, "to_machine": 0}
def receive(wait_s):
    end = time.monotonic() + wait_s
    while (rest := end - time.monotonic()) > 0:
        for ready in select.select([tap, bridge], [], [], rest)[0]:
            if ready == tap:
                seen["to_machine"] += os.read(tap, 2000)[12:14] == b"\\x88\\xb5"
            else:
                _, (_, _, kind, _, _) = bridge.recvfrom(2000)
                seen["from_machine"] += kind != socket.PACKET_OUTGOING
for _ in range(count):
    os.write(tap, frame)
    bridge.send(frame)
    receive(pause)
receive(0.3)
print(json.dumps(seen))
"""


def test_a_link_loses_the_share_of_frames_that_was_asked_for(healthy: Lab) -> None:
    traffic = {"COUNT": "400", "PAUSE": "0.001"}
    whole = python(healthy, FRAMES, **traffic)
    assert whole == {"from_machine": 400, "to_machine": 400}
    healthy.fault(REDFISH, "drop", 25)
    lossy = python(healthy, FRAMES, **traffic)
    # 400 frames, a quarter lost: 300 with a standard deviation of 8.7; six of them to each side.
    assert all(248 < arrived < 352 for arrived in lossy.values()), lossy  # type: ignore[attr-defined]
    healthy.fault(REDFISH, "clear")
    assert python(healthy, FRAMES, **traffic) == whole


def test_a_slow_link_carries_no_more_than_its_rate(healthy: Lab) -> None:
    healthy.fault(REDFISH, "slow", "1mbit")
    # 400 frames of 1400 bytes in at least 1 s offer 4.5 Mbit/s; 1 Mbit/s carries 90 a second.
    seen = python(healthy, FRAMES, COUNT="400", PAUSE="0.0025")
    assert all(60 < arrived < 200 for arrived in seen.values()), seen  # type: ignore[attr-defined]
    with pytest.raises(KedgeError, match="not a rate"):
        healthy.fault(REDFISH, "slow", "fast")


def test_faults_refuse_nonsense(healthy: Lab) -> None:
    for kind, value in (("drop", None), ("drop", "101"), ("drop", "-1"), ("bmc-hang", "x")):
        with pytest.raises(KedgeError):
            healthy.fault(IPMI, kind, value)
    with pytest.raises(KedgeError, match="i1, r1"):
        healthy.fault("nosuch", "bmc-hang")
    assert healthy.status()["machines"][0]["faults"] == []


def test_the_registry_wants_its_password_and_keeps_blobs(healthy: Lab) -> None:
    script = """
    import base64, hashlib, json, os, ssl, urllib.request, urllib.error
    context = ssl.create_default_context(cafile=os.environ["CA"])
    login = base64.b64encode(f"{os.environ['USER_NAME']}:{os.environ['PASSWORD']}".encode())
    def ask(url, method="GET", body=None, basic=login):
        headers = {"Content-Type": "application/octet-stream"}
        if basic:
            headers["Authorization"] = "Basic " + basic.decode()
        request = urllib.request.Request(url, method=method, data=body, headers=headers)
        try:
            answer = urllib.request.urlopen(request, context=context)
            return answer.status, answer.headers.get("Location"), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, None, b""
    root = "https://10.77.0.1:5000/v2/"
    digest = "sha256:" + hashlib.sha256(b"layer").hexdigest()
    started = ask(root + "test/blobs/uploads/", "POST", b"")
    stored = ask(started[1] + "&digest=" + digest, "PUT", b"layer")
    fetched = ask(root + "test/blobs/" + digest)
    print(json.dumps([ask(root, basic=None)[0], ask(root)[0], stored[0], fetched[2].decode()]))
    """
    login = healthy.login("registry")
    answer = python(healthy, script, USER_NAME=login.username, PASSWORD=login.password)
    assert answer == [401, 200, 201, "layer"]


def write_image(layout: Path) -> None:
    """The smallest OCI image: a configuration, a manifest, no layer."""

    def blob(value: object) -> dict[str, object]:
        content = json.dumps(value).encode()
        digest = hashlib.sha256(content).hexdigest()
        (layout / "blobs" / "sha256" / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    (layout / "blobs" / "sha256").mkdir(parents=True)
    kind = "application/vnd.oci.image"
    nothing = {"type": "layers", "diff_ids": []}
    config = blob({"architecture": "amd64", "os": "linux", "rootfs": nothing})
    config["mediaType"] = f"{kind}.config.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json", "config": config}
    entry = {"mediaType": f"{kind}.manifest.v1+json", **blob({**manifest, "layers": []})}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def test_an_image_is_pushed_with_the_labs_login_and_authority(healthy: Lab, tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    write_image(tmp_path / "image")
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    shutil.copy(healthy.paths.registry_ca, certificates / "ca.crt")
    assert healthy.paths.registry_auth.stat().st_mode & 0o777 == 0o600
    target = "docker://10.77.0.1:5000/smallest:1"
    login = ["--authfile", str(healthy.paths.registry_auth)]
    source = f"oci:{tmp_path / 'image'}"
    healthy.exec(["skopeo", "copy", *login, "--dest-cert-dir", str(certificates), source, target])
    seen = healthy.exec(["skopeo", "inspect", *login, "--cert-dir", str(certificates), target])
    assert json.loads(seen.stdout)["Layers"] == []


def test_servers_that_die_are_started_again(healthy: Lab) -> None:
    for role in (f"bmc-{IPMI}", "registry"):
        old = processes.find(healthy.name, role)[role]
        old.send(9)
        wait(
            lambda role=role, old=old: processes.find(healthy.name, role).get(role, old) != old,
            f"a new {role}",
        )
    wait(lambda: ipmitool(healthy, "power", "status", check=False).returncode == 0, "its answer")


def test_machines_outlive_a_killed_daemon_and_its_successor_finds_them(healthy: Lab) -> None:
    healthy.switch(REDFISH, "on")
    healthy.fault(REDFISH, "drop", 25)
    pid = healthy.status()["machines"][1]["pid"]
    processes.find(healthy.name, "daemon")["daemon"].send(9)
    wait(lambda: healthy.status()["daemon"] is None, "the daemon is gone")
    assert healthy.power(REDFISH) == "on"
    with pytest.raises(KedgeError, match="daemon"):
        healthy.switch(REDFISH, "off")
    healthy.up()
    after = healthy.status()["machines"][1]
    assert (after["pid"], after["power"], after["faults"]) == (pid, "on", ["drop 25%"])
    assert "off" in ipmitool(healthy, "power", "status").stdout
    healthy.switch(REDFISH, "off")
    assert healthy.power(REDFISH) == "off"


# Asks on a machine's behalf, as iPXE does: a router solicitation (RFC 4861) from the machine's tap.
SOLICIT = """
import fcntl, json, os, select, socket, struct, time
tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap-r1", 0x1002))
time.sleep(0.2)
source = socket.inet_pton(socket.AF_INET6, "fe80::5054:ff:fe77:102")
target = socket.inet_pton(socket.AF_INET6, "ff02::2")
def message(checksum):
    return struct.pack("!BBHI", 133, 0, checksum, 0)
total = source + target + struct.pack("!II", 8, 58) + message(0)
total = sum(struct.unpack(f"!{len(total) // 2}H", total))
while total >> 16:
    total = (total & 0xFFFF) + (total >> 16)
header = struct.pack("!IHBB", 6 << 28, 8, 58, 255) + source + target
ethernet = bytes.fromhex("333300000002" "525400770102" "86dd")
os.write(tap, ethernet + header + message(total ^ 0xFFFF))
answer, end = None, time.monotonic() + 3
while answer is None and (rest := end - time.monotonic()) > 0:
    for ready in select.select([tap], [], [], rest)[0]:
        frame = os.read(ready, 2000)
        if frame[12:14] == b"\\x86\\xdd" and frame[20] == 58 and frame[54] == 134:
            answer = {"hop_limit": frame[21], "lifetime_s": int.from_bytes(frame[60:62], "big")}
print(json.dumps(answer))
"""


def test_a_router_solicitation_is_answered_at_once(healthy: Lab) -> None:
    assert python(healthy, SOLICIT) == {"hop_limit": 255, "lifetime_s": 0}


def kedge_lab(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kedge.cli.main", "lab", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def typed(*words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "kedge.cli.main", "lab", *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout, ran.stderr


def test_the_verbs_show_and_break_a_running_lab(healthy: Lab) -> None:
    which = ("--lab", healthy.name)
    healthy.switch(IPMI, "on")
    code, out, _ = typed("status", *which, "-o", "json")
    seen = json.loads(out)["machines"]
    assert (code, seen[0]["power"], seen[1]["power"]) == (0, "on", "off")
    assert seen[0]["memory_bytes"] > 10 << 20
    assert typed("fault", IPMI, "drop", "20", *which)[:2] == (0, "i1: drop 20%\n")
    code, out, _ = typed("status", *which)
    assert code == 0
    assert "ipmi 10.78.0.11 up" in out
    assert "drop 20%" in out
    assert typed("fault", IPMI, "kill", *which)[:2] == (0, "i1: drop 20%, killed\n")
    code, _, err = typed("fault", IPMI, "kill", *which)
    assert (code, err) == (1, "kedge: i1: the machine is off\n")
    assert typed("fault", "i1", "slow", *which)[0] == 1
    assert typed("console", "i9", *which)[0] == 1


def test_exec_is_inside_and_ends_as_its_command_ends(healthy: Lab) -> None:
    look = "ip -br address show prov; exit 7"
    with kedge_lab("exec", "--lab", healthy.name, "--", "sh", "-c", look) as child:
        out, _ = child.communicate(timeout=30)
    assert child.returncode == 7
    assert b"10.77.0.1/16" in out
    assert typed("exec", "--lab", "nosuch", "--", "true")[0] == 1


def test_the_console_is_printed_and_followed(healthy: Lab) -> None:
    with kedge_lab("console", REDFISH, "-f", "--lab", healthy.name) as follower:
        try:
            assert follower.stdout is not None
            healthy.set_next_boot(REDFISH, "disk")
            healthy.switch(REDFISH, "on")
            while GREETING.strip() not in (line := follower.stdout.readline()):
                assert line, "the follower ended"
        finally:
            follower.kill()
    code, out, _ = typed("console", REDFISH, "--lab", healthy.name)
    assert code == 0
    assert GREETING.decode().strip() in out


def everything_of(lab: Lab) -> list[str]:
    left = [str(path) for path in (lab.paths.run, lab.paths.bulk) if path.exists()]
    left += list(processes.find(lab.name))
    left += [lab.namespace] if namespace.path_of(lab.namespace).exists() else []
    return left + [
        line for line in Path("/proc/mounts").read_text().splitlines() if lab.name in line
    ]


@pytest.mark.parametrize("murder", [False, True], ids=["orderly", "after kill -9 of the daemon"])
def test_down_leaves_nothing_and_touches_no_other_lab(healthy: Lab, murder: bool) -> None:
    lab = Lab(describe(f"u{os.getpid()}"))
    try:
        lab.up()
        lab.switch(IPMI, "on")
        stranger = lab.popen(["sleep", "600"])
        inode = namespace.path_of(lab.namespace).stat().st_ino
        assert len(processes.in_namespace(inode)) >= 5
        if murder:
            processes.find(lab.name, "daemon")["daemon"].send(9)
    finally:
        lab.down()
    assert stranger.wait(1) == -15
    assert everything_of(lab) == []
    assert processes.in_namespace(inode) == []
    lab.down()
    assert "off" in ipmitool(healthy, "power", "status").stdout


def test_up_that_fails_leaves_nothing(healthy: Lab, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    broken = Registry(directory=str(blocked / "below"))
    lab = Lab(describe(f"v{os.getpid()}", registry=broken))
    with pytest.raises(KedgeError):
        lab.up()
    assert everything_of(lab) == []
