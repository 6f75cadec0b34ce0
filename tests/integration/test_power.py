"""BMCs over the wire: ipmi_sim, a real TLS Redfish server, and ones that hang at any stage."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import FakeIo, one_network_site
from ipmi_simulator import PASSWORD, Simulated, can_run_ipmi_sim, start_ipmi_sim
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules import power
from kedge.modules.power.bmc import Bmc
from kedge.modules.power.ipmi import IpmiDriver

pytestmark = pytest.mark.skipif(not can_run_ipmi_sim(), reason="needs Debian's openipmi")


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
