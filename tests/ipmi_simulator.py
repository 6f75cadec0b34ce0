"""A BMC that speaks IPMI: Debian's ipmi_sim, over a chassis that is a file."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from kedge.lab.ipmi import COMMANDS, LAN

GUID = "a123456789abcdefa123456789abcdef"
CHASSIS = """\
import pathlib, sys
path = pathlib.Path(sys.argv[1])
words = sys.argv[3:]
log = path.with_suffix(".log")
with log.open("a") as file:
    file.write(" ".join(words) + "\\n")
state = path.read_text() if path.exists() else "0"
if words[0] == "get":
    for name in words[1:]:
        print(f"{name}:{state if name == 'power' else 'default'}")
elif words[1] == "power":
    path.write_text(words[2])
elif words[1] == "shutdown":
    path.write_text("0")
"""
PASSWORD = "open-sesame"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Simulated:
    """One ipmi_sim and the chassis behind it."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def has_power(self) -> bool:
        state = self.home / "state"
        return state.exists() and state.read_text() == "1"

    def set_power(self, on: bool) -> None:
        """Somebody presses the button."""
        (self.home / "state").write_text("1" if on else "0")

    @property
    def asked(self) -> list[str]:
        log = self.home / "state.log"
        return log.read_text().splitlines() if log.exists() else []


def can_run_ipmi_sim() -> bool:
    """Whether it is installed."""
    return Path("/usr/bin/ipmi_sim").exists()


def start_ipmi_sim(home: Path) -> Simulated:
    home.mkdir()
    port = free_port()
    program = home / "chassis.py"
    program.write_text(CHASSIS)
    lan = LAN.format(
        name="bmc", address="127.0.0.1", port=port, guid=GUID, python=sys.executable,
        program=program, socket=home / "state", username="admin", password=PASSWORD,
    )  # fmt: skip
    (home / "lan.conf").write_text(lan)
    (home / "bmc.emu").write_text(COMMANDS)
    (home / "sim").mkdir()
    process = subprocess.Popen(
        ["ipmi_sim", "-n", "-c", "lan.conf", "-f", "bmc.emu", "-s", "sim"],
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=(home / "out").open("wb"),
        stderr=subprocess.STDOUT,
    )
    wanted = f"0100007F:{port:04X}"
    for _ in range(100):
        if wanted in Path("/proc/self/net/udp").read_text():
            return Simulated(home, port, process)
        time.sleep(0.05)
    process.kill()
    raise AssertionError((home / "out").read_text())
