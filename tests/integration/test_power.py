"""BMCs over the wire: ipmi_sim, a real TLS Redfish server, and ones that hang at any stage."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes import FakeIo, one_network_site
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules import power
from kedge.modules.power.bmc import Bmc
from kedge.modules.power.ipmi import IpmiDriver

pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/ipmi_sim").exists(), reason="needs Debian's openipmi"
)

LAN = """\
name "bmc"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 {port}
  priv_limit admin
  allowed_auths_callback none md2 md5
  allowed_auths_user none md2 md5
  allowed_auths_operator none md2 md5
  allowed_auths_admin none md2 md5
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "{python} -I -S {program} {state}"
user 1 false "" "" user 10 none
user 2 true "admin" "{password}" admin 10 md5
"""
COMMANDS = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""
CHASSIS = """\
import pathlib, sys
path = pathlib.Path(sys.argv[1])
words = sys.argv[3:] if sys.argv[2] not in ("get", "set") else sys.argv[2:]
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

    @property
    def asked(self) -> list[str]:
        log = self.home / "state.log"
        return log.read_text().splitlines() if log.exists() else []


def start_ipmi_sim(home: Path) -> Simulated:
    home.mkdir()
    port = free_port()
    program = home / "chassis.py"
    program.write_text(CHASSIS)
    lan = LAN.format(
        port=port, python=sys.executable, program=program, state=home / "state", password=PASSWORD
    )
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


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Simulated]:
    sim = start_ipmi_sim(tmp_path / "bmc")
    try:
        yield sim
    finally:
        sim.process.kill()
        sim.process.wait()


def bmc_at(port: int, password: str = PASSWORD, username: str = "admin") -> Bmc:
    return Bmc("n1", "ipmi", "127.0.0.1", port, username, password, "bmc")


def test_a_machine_is_read_and_switched_over_ipmi(simulated: Simulated) -> None:
    driver = IpmiDriver(bmc_at(simulated.port))
    assert driver.read() == "off"
    driver.boot_from_network_once()
    driver.on()
    assert driver.read() == "on" and simulated.has_power
    driver.shut_down()
    assert driver.read() == "off" and not simulated.has_power
    driver.on()
    driver.off()
    driver.off()
    assert driver.read() == "off"
    assert "set boot pxe" in simulated.asked


def test_wrong_credentials_are_named_and_never_shown(simulated: Simulated) -> None:
    for bmc in (bmc_at(simulated.port, "wrong-pass"), bmc_at(simulated.port, "wrong-pass", "eve")):
        with pytest.raises(KedgeError) as caught:
            IpmiDriver(bmc).read()
        assert caught.value.code == "power.refused"
        assert "wrong-pass" not in f"{caught.value} {caught.value.as_dict()} {bmc!r}"


def test_a_bmc_that_is_not_there_does_not_answer() -> None:
    started = time.monotonic()
    with pytest.raises(KedgeError) as caught:
        IpmiDriver(bmc_at(free_port())).read()
    assert caught.value.code == "power.no_answer"
    assert time.monotonic() - started < 12


def test_a_lost_packet_is_sent_again(simulated: Simulated) -> None:
    with Lossy(simulated.port, drop=(1, 3, 6, 8)) as relay:
        assert IpmiDriver(bmc_at(relay.port)).read() == "off"
        assert relay.dropped >= 3


@pytest.mark.parametrize("answered", range(7))
def test_a_bmc_that_falls_silent_at_any_stage_is_given_up(
    simulated: Simulated, answered: int
) -> None:
    with Lossy(simulated.port, silent_after=answered) as relay:
        started = time.monotonic()
        with pytest.raises(KedgeError) as caught:
            IpmiDriver(bmc_at(relay.port), timeout_s=4.0).read()
        assert caught.value.code == "power.no_answer"
        assert time.monotonic() - started < 8


class Lossy:
    """A UDP relay in front of a BMC that loses chosen answers, in a thread of its own."""

    def __init__(self, port: int, drop: tuple[int, ...] = (), silent_after: int = 10**9) -> None:
        import threading

        self._target = ("127.0.0.1", port)
        self._drop, self._silent_after = drop, silent_after
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.bind(("127.0.0.1", 0))
        self.port = int(self._front.getsockname()[1])
        self.dropped = 0
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Lossy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join(2)
        self._front.close()
        self._back.close()

    def _run(self) -> None:
        import select

        client, answers = None, 0
        while self._running:
            for ready in select.select([self._front, self._back], [], [], 0.1)[0]:
                if ready is self._front:
                    packet, client = self._front.recvfrom(4096)
                    self._back.sendto(packet, self._target)
                    continue
                packet, _ = self._back.recvfrom(4096)
                answers += 1
                if answers in self._drop or answers > self._silent_after:
                    self.dropped += 1
                elif client is not None:
                    self._front.sendto(packet, client)


@pytest.fixture
def black_holes() -> Iterator[list[int]]:
    """Five UDP ports that take everything and answer nothing."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
    for hole in sockets:
        hole.bind(("127.0.0.1", 0))
    yield [int(hole.getsockname()[1]) for hole in sockets]
    for hole in sockets:
        hole.close()


def site_of(ports: dict[str, tuple[str, int]]) -> dict[str, Configuration]:
    return {
        name: Configuration(
            name,
            {
                "power.bmc": {
                    "protocol": "ipmi",
                    "address": address,
                    "port": port,
                    "credentials": "bmc",
                }
            },
        )
        for name, (address, port) in ports.items()
    }


async def test_hanging_bmcs_cost_the_others_nothing(
    simulated: Simulated, black_holes: list[int]
) -> None:
    """20 good and 5 hanging ones, each at its own address (all of 127/8 is this machine)."""
    relays = [Lossy(simulated.port) for _ in range(20)]
    good = {f"g{i}": ("127.0.0.1", relay.port) for i, relay in enumerate(relays)}
    bad = {f"b{i}": ("127.0.0.1", port) for i, port in enumerate(black_holes)}

    async def read_all(io: FakeIo, names: list[str]) -> float:
        started = time.monotonic()
        await asyncio.gather(*(power.read(io.fake_nodes[name], io) for name in names))
        return time.monotonic() - started

    secrets = {"bmc": {"username": "admin", "password": PASSWORD}}
    site = one_network_site(site_of({**good, **bad}))
    for relay in relays:
        relay.__enter__()
    try:
        async with OneLaneAPort(site, secrets=secrets) as io:
            alone_s = await read_all(io, list(good))
            hanging = [asyncio.ensure_future(power.read(io.fake_nodes[n], io)) for n in bad]
            await asyncio.sleep(0.2)
            beside_s = await read_all(io, list(good))
            failures = await asyncio.gather(*hanging, return_exceptions=True)
        print(f"20 good BMCs alone {alone_s:.2f} s, beside 5 hanging ones {beside_s:.2f} s")
        assert beside_s < alone_s * 2 + 0.5
        assert [f.code for f in failures if isinstance(f, KedgeError)] == ["power.no_answer"] * 5
        assert all(io.fake_nodes[name].seen("power.state") == "off" for name in good)
    finally:
        for relay in relays:
            relay.__exit__()


class OneLaneAPort(FakeIo):
    """Here many BMCs share an address, so the lane is told apart by port."""

    async def blocking(self, lane, call, *args, timeout_s):  # type: ignore[no-untyped-def]
        port = args[0]._bmc.port
        return await super().blocking(f"{lane}:{port}", call, *args, timeout_s=timeout_s)


async def test_a_frozen_bmc_is_reported_and_comes_back(simulated: Simulated) -> None:
    secrets = {"bmc": {"username": "admin", "password": PASSWORD}}
    site = one_network_site(site_of({"n1": ("127.0.0.1", simulated.port)}))
    async with FakeIo(site, secrets=secrets) as io:
        node = io.fake_nodes["n1"]
        os.kill(simulated.process.pid, signal.SIGSTOP)
        with pytest.raises(KedgeError) as caught:
            await power.switch_on(node, io)
        assert caught.value.code == "power.no_answer" and caught.value.next_step
        os.kill(simulated.process.pid, signal.SIGCONT)
        await power.switch_on(node, io)
        await power.read(node, io)
        assert node.seen("power.state") == "on"
