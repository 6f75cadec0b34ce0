"""The lab itself, for real: up again, its registry, its verbs, and nothing left after down."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_lab import (
    GREETING,
    IPMI,
    REDFISH,
    describe,
    ipmitool,
    python,
    wait,
)

from kedge.lab import namespace, processes
from kedge.lab.description import Registry
from kedge.lab.lab import Lab
from kedge.lib.errors import KedgeError

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]


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
        wait(lambda: len(processes.in_namespace(inode)) >= 5, "all of it to be inside")
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
