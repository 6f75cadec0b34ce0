"""The example of a third-party module, built as a wheel, installed beside Kedge, and seen everywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "module-hugepages"
SITE = """
cluster: { name: t, domain: t.example }
networks: { provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 } }
profiles:
  compute:
    image.wanted: registry:5000/compute:1
    power.state: on
    power.bmc: { protocol: redfish, address: "10.78.0.{index}" }
groups: { g: { nodes: "n[1-3]", profiles: [compute] } }
nodes: { "n[1-3]": { addresses: { provision: "10.77.1.{number}" } } }
"""


class Installed:
    """A scratch environment with Kedge's wheel, and this environment's packages below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        done(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
        (site,) = (folder / "venv" / "lib").glob("python3*/site-packages")
        self.install(built(ROOT, folder))
        below = [path for path in sys.path if path.endswith("site-packages")]
        (site / "others.pth").write_text("\n".join(below) + "\n")
        self.environment = os.environ | {
            "KEDGE_CONFIG": str(folder / "kedge.yaml"),
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        state = folder / "state"
        (folder / "kedge.yaml").write_text(f"state_dir: {state}\nsync: {{ port: {free_port()} }}\n")
        (folder / "site").mkdir()
        (folder / "site/site.yaml").write_text(SITE)

    def install(self, wheel: Path) -> None:
        """Without an index: nothing is fetched."""
        pip = (sys.executable, "-m", "pip", "--python", self.bin / "python", "install")
        done(*pip, "--no-deps", "--no-index", "--quiet", wheel, cwd=self.folder)

    def run(self, *words: str, code: int = 0) -> str:
        ran = subprocess.run(
            [self.bin / "kedge", *words],
            env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def asked(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-o", "json"))

    def serve(self) -> subprocess.Popen[bytes]:
        command = [self.bin / "kedge"]
        log = (self.folder / "log").open("wb")
        return subprocess.Popen(
            [*command, "sim", "serve", "--pace", "0.01"],
            env=self.environment,
            stderr=log,
            stdout=log,
        )


def done(*command: str | Path, cwd: Path) -> None:
    words = [str(word) for word in command]
    ran = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def built(source: Path, target: Path) -> Path:
    """A wheel, built by the build backend itself, so that nothing is fetched."""
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target, cwd=source)
    (found,) = target.glob(
        f"{source.name.replace('module-', 'kedge_') if source != ROOT else 'kedge'}-*.whl"
    )
    return found


def free_port() -> int:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def kedge(tmp_path: Path) -> Iterator[Installed]:
    installed = Installed(tmp_path)
    process = installed.serve()
    try:
        until = time.monotonic() + 30
        while not (tmp_path / "state/api.sock").exists():
            assert process.poll() is None and time.monotonic() < until, (
                tmp_path / "log"
            ).read_text()
            time.sleep(0.1)
        yield installed
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_a_wheel_beside_a_running_kedge_is_seen_everywhere(
    kedge: Installed, tmp_path: Path
) -> None:
    folder = str(kedge.folder / "site")
    kedge.run("apply", folder, "--yes")
    kedge.run("wait", "n[1-3]", "--timeout", "60")
    before = kedge.asked("events")[-1]["seq"]
    refused = kedge.run("node", "set", "n1", "hugepages.mode=never", "--yes", code=1)
    assert "hugepages.mode" in refused

    kedge.install(built(EXAMPLE, tmp_path))
    assert kedge.asked("module", "reload")["added"] == ["hugepages"]
    row = next(row for row in kedge.asked("module", "list") if row["name"] == "hugepages")
    assert (row["package"], row["package_version"]) == ("kedge-hugepages", "1.0")
    assert "`hugepages.mode`" in kedge.run("module", "show", "hugepages")
    assert "hugepages.set_never" in kedge.run("graph", "--module", "hugepages")
    assert "hugepages.look" in kedge.run("plan", "n1", "--to", "hugepages.mode=never")

    bad = SITE.replace("power.state: on", "power.state: on\n    hugepages.mode: sometimes")
    (kedge.folder / "site/site.yaml").write_text(bad)
    assert "always, madvise, never" in kedge.run("diff", folder, code=1)
    kedge.run("node", "set", "n1", "hugepages.mode=never", "--yes")
    kedge.run("wait", "n1", "--timeout", "60")
    told = kedge.asked("node", "show", "n1")
    assert told["discovered"]["hugepages.mode"]["value"] == "never"
    assert told["configured"]["hugepages.mode"]["value"] == "never"
    plan = kedge.run("plan", "n1", "--to", "hugepages.mode=madvise")
    assert "hugepages.set_madvise" in plan
    steps = [e for e in kedge.asked("events", "--after", str(before)) if e["what"] == "step"]
    assert {e["subject"] for e in steps} == {"hugepages.set_never"}, "nothing else moved"
