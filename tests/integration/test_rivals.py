"""kedge doctor finds a real DHCP server that somebody else runs on the provision network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

KEA = shutil.which("kea-dhcp4", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or KEA is None or shutil.which("ip") is None,
    reason="needs root, Kea and iproute2",
)
LOOK = (
    "import json, sys; from kedge.cli.checks.rivals import check_rivals;"
    "import msgspec; print(json.dumps(msgspec.to_builtins(check_rivals('prov'))))"
)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@pytest.fixture
def network() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them: ours (10.9.0.1) and a stranger's (10.9.0.9)."""
    ours, theirs = (f"kedge-rival-{os.getpid()}-{end}" for end in "ab")
    try:
        for name in (ours, theirs):
            ip("netns", "add", name)
        ip(
            "-n",
            ours,
            "link",
            "add",
            "prov",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            theirs,
        )
        for name, interface, address in ((ours, "prov", "1"), (theirs, "eth0", "9")):
            ip("-n", name, "addr", "add", f"10.9.0.{address}/24", "dev", interface)
            ip("-n", name, "link", "set", interface, "up")
        yield ours, theirs
    finally:
        for name in (ours, theirs):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def look(namespace: str) -> dict[str, str]:
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", LOOK],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_nobody_answers_until_somebody_does(network: tuple[str, str], tmp_path: Path) -> None:
    ours, theirs = network
    assert look(ours)["verdict"] == "good"
    config = {
        "Dhcp4": {
            "interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "raw"},
            "lease-database": {"type": "memfile", "persist": False},
            "subnet4": [
                {"id": 1, "subnet": "10.9.0.0/24", "pools": [{"pool": "10.9.0.50-10.9.0.60"}]}
            ],
        }
    }
    (tmp_path / "kea.json").write_text(json.dumps(config))
    environment = {
        **os.environ,
        "KEA_PIDFILE_DIR": str(tmp_path),
        "KEA_LOCKFILE_DIR": str(tmp_path),
        "KEA_LOGGER_DESTINATION": str(tmp_path / "kea.log"),
    }
    command = ["ip", "netns", "exec", theirs, str(KEA), "-c", str(tmp_path / "kea.json")]
    kea = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while (found := look(ours))["verdict"] != "bad":
            assert time.monotonic() < deadline and kea.poll() is None
        assert "10.9.0.9 also answers DHCP on prov" in found["what"]
        assert "10.9.0.9" in found["mend"]
    finally:
        kea.terminate()
        kea.wait(20)
